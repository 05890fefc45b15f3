"""Numbers in words, as pages and the command line print them."""


def percent(fraction: float) -> str:
    """A fraction in percent with up to three digits.

    >>> percent(0.2), percent(0.12345), percent(0.00012)
    ('20 %', '12.3 %', '0.012 %')
    """
    return f"{100 * fraction:.3g} %"
