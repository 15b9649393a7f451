"""The admin password: whether the page is open at all, whether a password is the right one, and the sessions' key."""

from __future__ import annotations

import hashlib
import hmac
import threading
from functools import cached_property

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr

PASSWORD_VARIABLE = "CARTBRIDGE_WEB__ADMIN_PASSWORD"  # noqa: S105 - the name of the variable that holds it
_HASH_BEGINS = "$argon2"
_NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$wFVnmHY+N0U3Dgvy8L23Eg$aaumEsV7qVf38kumjEYoVjOmrHIqJnAdNeA32q8BX0c"
"""No password has it: it is compared with where there is no operator of a name, so that this takes as long."""
_KEY_SALT = b"cartbridge operator's page: sessions"


class AdminPassword:
    """The value of `CARTBRIDGE_WEB__ADMIN_PASSWORD`: a password, or an argon2 hash of one. Threads may share it."""

    def __init__(self, secret: SecretStr | None) -> None:
        self._expected = secret.get_secret_value().strip() if secret is not None else ""
        # An argon2 takes 64 MB: strangers who try at once must queue for it.
        self._verifying = threading.Lock()

    @property
    def problem(self) -> str | None:
        """Why nobody can sign in, as a sentence that says what to set; None where the page is open."""
        if not self._expected:
            return f"Set {PASSWORD_VARIABLE} to a password of your choice, or to an argon2 hash of one, and restart."
        if self._is_hash:
            try:
                extract_parameters(self._expected)
            except InvalidHashError:
                return f"{PASSWORD_VARIABLE} begins as an argon2 hash does, and is none. Correct it, and restart."
        return None

    def matches(self, given: str) -> bool:
        """Whether it is the password. Takes a tenth of a second and more with a hash: call it off the event loop."""
        if self.problem is not None:
            return False
        if not self._is_hash:
            return hmac.compare_digest(given.encode("utf-8", "replace"), self._expected.encode())
        return self.matches_hash(given, self._expected)

    def matches_hash(self, given: str, expected: str | None) -> bool:
        """Whether a password has this argon2 hash; of None, that of nobody, it takes as long to say no."""
        with self._verifying:
            try:
                return PasswordHasher().verify(expected or _NOBODYS_HASH, given.encode("utf-8", "replace"))
            except (VerificationError, InvalidHashError):
                return False

    @cached_property
    def session_key(self) -> bytes:
        """What sessions are signed with: another password, other sessions.

        Slow to derive, so that a stolen cookie does not give the password away to guessing.
        """
        return hashlib.scrypt(self._expected.encode(), salt=_KEY_SALT, n=2**14, r=8, p=1, dklen=32)

    @property
    def _is_hash(self) -> bool:
        return self._expected.startswith(_HASH_BEGINS)
