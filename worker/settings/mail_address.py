"""Email addresses for headers and the wire: checked, so that nothing can be smuggled in by a name or an address."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.headerregistry import Address

# Without quoted local parts and address literals: nobody enrols by one, and each is a way around the other checks.
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+@(?:[\w-]+\.)*[\w-]+")
_LONGEST_ADDRESS = 254
_SPECIAL = re.compile(r"[()<>@,;:\\\"\[\]]|=\?")
_LONGEST_UNFOLDED = 60
_LONGEST_ENCODED = 12
"""What a character beyond ASCII takes at most: four bytes, each as `=F0`."""
_LONGEST_NAME = 100


@dataclass(frozen=True)
class MailAddress:
    """Somebody mail goes to or comes from. Raises `ValueError`, which quotes nothing, for what cannot be an address."""

    address: str
    name: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if len(self.address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(self.address):
            raise ValueError("not an email address")
        problem = False
        try:
            _ = self.wire
        except UnicodeError:
            problem = True
        if problem:  # outside the handler: the error that it handles quotes the address
            raise ValueError("not an email address")
        object.__setattr__(self, "name", one_line(self.name))

    def __repr__(self) -> str:
        return "MailAddress(…)"

    @classmethod
    def parse(cls, text: str) -> MailAddress:
        """Read `jane@example.com` or `Jane Doe <jane@example.com>`; quotes around the name fall away."""
        name, bracket, address = text.strip().removesuffix(">").rpartition("<")
        if not (bracket and text.strip().endswith(">")) or ">" in address:
            return cls(text.strip())
        return cls(address.strip(), name.strip().strip('"'))

    @property
    def domain(self) -> str:
        """The part behind the @, in ASCII."""
        return self.wire.rpartition("@")[2]

    @property
    def wire(self) -> str:
        """The address as SMTP takes it: an international domain in ASCII (IDNA)."""
        local, _, domain = self.address.rpartition("@")
        return f"{local}@{domain if domain.isascii() else domain.encode('idna').decode('ascii')}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the part before the @ is beyond ASCII, which a mail server must support expressly."""
        return not self.wire.isascii()

    @property
    def header(self) -> Address:
        """The address as a header's value.

        Python's `email` takes the quotes from a name that it folds (seen with 3.11): a comma or an @ in such a name
        would make further addresses of it, so they are left out there.
        """
        from email.headerregistry import Address  # noqa: PLC0415 -- every command reads settings, and few send mail

        local, _, domain = self.wire.rpartition("@")
        name = self.name
        encoded = sum(1 if each.isascii() else _LONGEST_ENCODED for each in name)
        if "=?" in name or encoded + len(self.wire) > _LONGEST_UNFOLDED:
            name = one_line(_SPECIAL.sub(" ", name))[:_LONGEST_NAME].strip(" .")
        return Address(display_name=name, username=local, domain=domain)


def one_line(text: str) -> str:
    """`text` as a header may hold it: one line, single spaces, no control character."""
    return "".join(each for each in " ".join(text.split()) if each.isprintable())
