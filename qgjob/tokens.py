"""What a token looks like: `qg_`, 32 random letters and digits, and 6 that are their checksum.

The prefix lets scanners find one that was published; the checksum tells a truncated one without asking anybody.
"""

import hashlib
import secrets
import string
from zlib import crc32

PREFIX = "qg_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM, CHECKSUM, HINT = 32, 6, 4


def new_token() -> str:
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return PREFIX + random + checksum(random)


def checksum(random: str) -> str:
    number, digits = crc32(random.encode()), ""
    for _ in range(CHECKSUM):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def is_token(text: str) -> bool:
    """Whether it can be a token at all."""
    random, check = text[len(PREFIX) : -CHECKSUM], text[-CHECKSUM:]
    plain = text.isascii() and text.startswith(PREFIX) and len(random) == RANDOM
    return plain and all(letter in ALPHABET for letter in random) and check == checksum(random)


def hashed(token: str) -> bytes:
    """What is stored. The token is random, so that guessing it is hopeless however fast the hash is."""
    return hashlib.sha256(token.encode()).digest()


def hint(token: str) -> str:
    """What people recognise it by, of which nothing can be guessed."""
    return token[: len(PREFIX) + HINT]
