"""`worker.settings.environment`: where a variable's text comes from, and what is said when it cannot be had."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from worker.settings.environment import VariablesSource

KNOWN = ("CARTBRIDGE_LEASE_SECONDS", "CARTBRIDGE_OFFERS_FILE", "CARTBRIDGE_WEB__API_TOKEN")
TOKEN = "CARTBRIDGE_WEB__API_TOKEN"
LEASE = "CARTBRIDGE_LEASE_SECONDS"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def read(environ: dict[str, str], env_file: Path | None = None, known: tuple[str, ...] = KNOWN) -> VariablesSource:
    return VariablesSource(BaseSettings, environ, env_file, known)


def problems(reading: VariablesSource) -> list[str]:
    return [str(problem) for problem in reading.problems]


def test_foreign_names_are_ignored_when_read(env_file: Path) -> None:
    env_file.write_text("HOME=/elsewhere\nOTHER\n", encoding="utf-8")
    reading = read({"PATH": "/bin", "CARTBRIDGE_REQUIRE_SERVERS": "1"}, env_file)
    assert (reading.values, reading.problems) == ({}, [])


def test_environment_wins_when_both_places_set_a_variable(env_file: Path) -> None:
    env_file.write_text(f"{LEASE}=1\n{TOKEN}=from-file\n", encoding="utf-8")
    reading = read({LEASE: "2"}, env_file)
    assert reading.values == {LEASE: "2", TOKEN: "from-file"}
    assert reading.places == {LEASE: "environment", TOKEN: ".env line 2"}


def test_env_file_speaks_when_the_environment_holds_an_empty_text(env_file: Path) -> None:
    env_file.write_text(f"{LEASE}=1\n{TOKEN}=\n", encoding="utf-8")
    assert read({LEASE: ""}, env_file).values == {LEASE: "1"}


def test_nothing_is_wrong_when_there_is_no_env_file(env_file: Path) -> None:
    reading = read({LEASE: "2"}, env_file)
    assert (reading.values, reading.problems) == ({LEASE: "2"}, [])


def test_last_line_counts_when_a_name_comes_twice(env_file: Path) -> None:
    env_file.write_text(f"{LEASE}=1\n\n{LEASE}=3\n", encoding="utf-8")
    reading = read({}, env_file)
    assert (reading.values, reading.places) == ({LEASE: "3"}, {LEASE: ".env line 3"})


def test_dollars_hashes_and_quotes_survive_when_a_password_holds_them(env_file: Path) -> None:
    env_file.write_text(f"export {TOKEN}='a${{HOME}}b #c'\n{LEASE}=x$y#z  # seconds\n", encoding="utf-8-sig")
    assert read({}, env_file).values == {TOKEN: "a${HOME}b #c", LEASE: "x$y#z"}


def test_line_is_named_when_it_is_not_a_name_and_a_value(env_file: Path) -> None:
    env_file.write_text(f"# comment\n\n{TOKEN}='never closed secret\n", encoding="utf-8")
    assert problems(read({}, env_file)) == [
        ".env line 3: is not of the form NAME=value. Quote a value that holds a quote."
    ]


def test_place_is_named_when_the_env_file_holds_an_unknown_variable(env_file: Path) -> None:
    env_file.write_text("\n\nCARTBRIDGE_LEASE_SECOND=1\n", encoding="utf-8")
    assert problems(read({}, env_file)) == [
        "CARTBRIDGE_LEASE_SECOND (.env line 3): unknown variable. The nearest one is CARTBRIDGE_LEASE_SECONDS."
    ]


@pytest.mark.parametrize("value", ["", "1"])
def test_unknown_variable_is_a_problem_when_it_is_empty_too(value: str) -> None:
    assert len(read({"CARTBRIDGE_LEAS_SECONDS": value}).problems) == 1


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("cartbridge_lease_seconds", "CARTBRIDGE_LEASE_SECONDS"),
        ("CARTBRIDGE_WEB_API_TOKEN", "CARTBRIDGE_WEB__API_TOKEN"),
        ("CARTBRIDGE_WEB__API_TOKN_FILE", "CARTBRIDGE_WEB__API_TOKEN_FILE"),
        ("CARTBRIDGE_OFFER_FILE", "CARTBRIDGE_OFFERS_FILE"),
        ("CARTBRIDGE_OFFERS", "CARTBRIDGE_OFFERS_FILE"),
        ("Cartbridge_Offers_File", "CARTBRIDGE_OFFERS_FILE"),
    ],
)
def test_nearest_name_is_given_when_a_name_is_unknown(name: str, nearest: str) -> None:
    assert problems(read({name: "1"})) == [f"{name} (environment): unknown variable. The nearest one is {nearest}."]


def test_no_nearest_name_is_given_when_nothing_is_known() -> None:
    assert problems(read({"CARTBRIDGE_X": "1"}, known=())) == ["CARTBRIDGE_X (environment): unknown variable."]


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" s\n\n", " s\n"), (b"s\r", "s\r")],
)
def test_file_gives_the_value_less_one_line_end_when_named(tmp_path: Path, content: bytes, value: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert read({f"{TOKEN}_FILE": str(path)}).values == {TOKEN: value}


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_value_counts_as_unset_when_its_file_is_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    reading = read({f"{TOKEN}_FILE": str(path)})
    assert (reading.values, reading.problems) == ({}, [])


def test_a_setting_that_ends_in_file_is_no_file_variant_when_set(tmp_path: Path) -> None:
    pointer = tmp_path / "pointer"
    pointer.write_text("rules.toml\n", encoding="utf-8")
    assert read({"CARTBRIDGE_OFFERS_FILE": "mine.toml"}).values == {"CARTBRIDGE_OFFERS_FILE": "mine.toml"}
    assert read({"CARTBRIDGE_OFFERS_FILE_FILE": str(pointer)}).values == {"CARTBRIDGE_OFFERS_FILE": "rules.toml"}


@pytest.mark.parametrize("reverse", [False, True])
def test_both_forms_are_refused_when_set_in_one_place(tmp_path: Path, reverse: bool) -> None:
    path = tmp_path / "token"
    path.write_text("planted", encoding="utf-8")
    environ = {TOKEN: "planted", f"{TOKEN}_FILE": str(path)}
    if reverse:
        environ = dict(reversed(environ.items()))
    reading = read(environ)
    assert problems(reading) == [f"{TOKEN} (environment): is set, and so is {TOKEN}_FILE. Keep one of them."]


def test_environment_wins_when_the_env_file_has_the_other_form(tmp_path: Path, env_file: Path) -> None:
    path = tmp_path / "token"
    path.write_text("mounted", encoding="utf-8")
    env_file.write_text(f"{TOKEN}=written\n", encoding="utf-8")
    reading = read({f"{TOKEN}_FILE": str(path)}, env_file)
    assert (reading.values, reading.problems) == ({TOKEN: "mounted"}, [])


def test_variable_and_path_are_named_when_a_file_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "nothing-here"
    assert problems(read({f"{TOKEN}_FILE": str(path)})) == [
        f"{TOKEN}_FILE (environment): cannot read {str(path)!r}: No such file or directory."
    ]


def test_problem_is_told_when_a_file_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xff\xfe\x00")
    assert problems(read({f"{TOKEN}_FILE": str(path)})) == [
        f"{TOKEN}_FILE (environment): {str(path)!r} is not a file of UTF-8 text."
    ]
    assert "is not a file of UTF-8 text" in problems(read({f"{TOKEN}_FILE": "a\x00b"}))[0]


def test_problem_is_told_when_the_env_file_cannot_be_read(tmp_path: Path, env_file: Path) -> None:
    assert problems(read({}, tmp_path)) == [f"{tmp_path}: cannot be read: Is a directory."]
    env_file.write_bytes(b"CARTBRIDGE_LEASE_SECONDS=\xff\n")
    assert problems(read({}, env_file)) == [f"{env_file}: is not UTF-8 text."]


def test_values_stay_out_of_the_repr_when_a_reading_is_printed() -> None:
    assert "planted" not in repr(read({TOKEN: "planted"}))


@pytest.mark.parametrize(
    "value", ["planted-secret", "plan/ted-secret+a==", "/planted-secret", "plan\0ted-secret", "p" * 5000]
)
def test_value_is_not_told_when_it_may_be_the_secret_itself(value: str) -> None:
    (reported,) = problems(read({f"{TOKEN}_FILE": value}))
    assert "ted-secret" not in reported
    assert "ppp" not in reported
    assert reported.startswith(f"{TOKEN}_FILE (environment): ")
    assert "the file it names" in reported
