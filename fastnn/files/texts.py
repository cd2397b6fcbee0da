r"""Texts from anywhere, such as names of files, columns and classes, made fit to be shown."""

from __future__ import annotations

import re

# Control characters, those that turn the direction of text, separators of lines, and halves of
# characters, which no encoding has.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, but: str = "") -> str:
    """Return text with escapes in the place of what is not to be seen; `but` is kept.

    No such text moves the cursor of a terminal, changes its title or turns what follows around.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in but else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
