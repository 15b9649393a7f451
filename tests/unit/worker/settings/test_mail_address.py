from __future__ import annotations

import pytest

from worker.settings.mail_address import MailAddress, one_line


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("jane@example.com", "jane@example.com", ""),
        (" Jane Doe <jane@example.com> ", "jane@example.com", "Jane Doe"),
        ('"Doe, Jane" <j.o\'hara+x@sub.example.com>', "j.o'hara+x@sub.example.com", "Doe, Jane"),
        ("Jane\r\nBcc: x <jane@example.com>", "jane@example.com", "Jane Bcc: x"),
    ],
)
def test_address_and_name_are_read_when_either_form_is_given(text: str, address: str, name: str) -> None:
    read = MailAddress.parse(text)
    assert (read.address, read.name) == (address, name)
    assert "jane" not in repr(read).lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jane",
        "jane@",
        "@example.com",
        "jane@exa mple.com",
        "jane@example.com\r\nRCPT TO:<x@example.com>",
        "jane@example.com>\r\nDATA",
        "a@b@example.com",
        "jane@[127.0.0.1]",
        "<jane@example.com",
        f"jane@{'x' * 64}é.example",
        f"{'j' * 250}@example.com",
    ],
)
def test_nothing_is_smuggled_in_when_the_address_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an email address$") as caught:
        MailAddress(text)
    assert caught.value.__context__ is None


def test_domain_is_ascii_on_the_wire_when_it_is_international() -> None:
    address = MailAddress("jane@exämple.com", "Jäne")
    assert (address.wire, address.domain) == ("jane@xn--exmple-cua.com", "xn--exmple-cua.com")
    assert not address.needs_smtputf8
    assert MailAddress("jäne@example.com").needs_smtputf8


def test_control_characters_go_when_a_text_becomes_a_header() -> None:
    assert one_line(" a\r\n b\x00\x1b[31m\u2028c\x85d ") == "a b[31m c d"
