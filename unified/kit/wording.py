"""How messages and pages word a number of things. What a name may have meant is with the ``errors``."""


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun: ``1 record``, ``1,200 records``.

    Args:
        number: How many.
        one: The noun of one of them.
        several: That of any other number, where that is not ``one`` with an s.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
