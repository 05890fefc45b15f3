"""Numbers in words, as pages and the command line print them."""

import re

# A hyphen that is the sign of a number, as in "[-0.5", but not in "2026-11-27", "1e-05" or "x=-5".
_SIGN = re.compile(r"(?<![\w.)\]=/-])-(?=\.?\d)")
_RHO = re.compile(r"\brho\b")


def percent(fraction: float) -> str:
    """A fraction in percent with up to three digits.

    >>> percent(0.2), percent(0.12345), percent(0.00012)
    ('20 %', '12.3 %', '0.012 %')
    """
    return f"{100 * fraction:.3g} %"


def typeset(text: str) -> str:
    """A text for people's eyes: ρ for "rho", and a true minus before numbers.

    >>> typeset("rho = -0.43 [-0.60, -0.21] of 2026-11-27, x=-5")
    'ρ = −0.43 [−0.60, −0.21] of 2026-11-27, x=-5'
    """
    return _RHO.sub("ρ", _SIGN.sub("−", text))
