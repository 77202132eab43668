"""Commands that run and look after an installation: servers, migrations, keys, diagnosis."""
