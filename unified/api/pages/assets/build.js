// Which side of the builder was changed last, so that any button takes that one. Without this, "Take the form" does.
"use strict";
{
  const form = document.getElementById("builder");
  const edited = document.getElementById("edited");
  form.addEventListener("input", (event) => {
    if (event.target.id === "source") edited.value = "text";
    else if (event.target.closest("[data-side=form]")) edited.value = "form";
  });
  // Another stream is another form.
  document.getElementById("stream").addEventListener("change", () => form.requestSubmit(document.getElementById("look")));
}
