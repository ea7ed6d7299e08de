"""Reads a policy file: the data folder's own, else the one that comes with the service.

    format = 1                      of the file
    version, owner                  whose it is; reviewed, review_by (dates)
    allowed_sources = [...]         values of the items' metadata key "source" that may answer
    [head]                          miss_rate_upper, code_margin, without_head
    [disclaimers], [nothing_found]  a text by language, "en" among them; both, and each class's, in the same languages
    [[classes]]                     name, head_kinds = [...], [classes.terms] lists by language, [classes.nothing_found]

A class needs at least one signal: kinds of the head, or terms. Unknown keys are refused.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from sightline_cloud.policy.document import HeadRule, Policy, SensitiveClass, Without
from sightline_cloud.policy.locales import FALLBACK
from sightline_cloud.policy.section import Section
from sightline_cloud.policy.terms import needle
from sightline_shared.errors import ConfigInvalid
from sightline_shared.where import MAX_TEXT_CHARS, MAX_VALUES

FORMAT = 1
NAME = "policy.toml"
SHIPPED = "the service's own policy.toml"
MAX_BYTES = 64 * 1024
MAX_CLASSES = 32
MAX_LANGUAGES = 32
MAX_TERM_CHARS = 64
# Of a sigmoid: ten logits are the difference between "hardly" and "certainly".
MAX_MARGIN = 10.0
WITHOUT: tuple[Without, ...] = ("restricted", "open")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,3}")
_NAME = re.compile(r"[a-z][a-z_]{0,39}")


def find_policy(data_dir: Path) -> Policy:
    """Return the policy of a data folder, else the shipped one.

    Raises ConfigInvalid: a file that is there and cannot be used is never passed over.
    """
    path = data_dir / NAME
    return read_policy(path) if path.exists() or path.is_symlink() else shipped_policy()


def read_policy(path: Path) -> Policy:
    """Read the file at `path`; raises ConfigInvalid with file and key."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"{path}: expected a policy file, got '{error.strerror}'.") from error
    return parse_policy(data, str(path))


def shipped_policy() -> Policy:
    """Return the policy that comes with the service; raises ConfigInvalid where the installation has lost it."""
    try:
        data = resources.files("sightline_cloud.policy").joinpath(NAME).read_bytes()
    except OSError as error:
        raise ConfigInvalid(f"{SHIPPED}: expected it in the package, got '{error.strerror}'.") from error
    return parse_policy(data, SHIPPED)


def parse_policy(data: bytes, source: str) -> Policy:
    """Return the policy in a file's bytes; raises ConfigInvalid with `source` and key."""
    if len(data) > MAX_BYTES:
        raise ConfigInvalid(f"{source}: expected at most {MAX_BYTES} bytes, got more.")
    try:
        fields = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigInvalid(f"{source}: expected a TOML file, got '{error}'.") from error
    top = Section(fields, source)
    top.choice("format", [FORMAT])
    disclaimers = _by_language(top.section("disclaimers"))
    nothing_found = _by_language(top.section("nothing_found"), like=disclaimers)
    policy = Policy(
        source=source,
        digest=hashlib.sha256(data).hexdigest(),
        number=top.integer("version", 1, 10**6),
        owner=top.text("owner", most=200),
        reviewed=top.date("reviewed"),
        review_by=top.date("review_by"),
        head=_head(top.section("head")),
        allowed_sources=top.texts("allowed_sources", most=MAX_VALUES, longest=MAX_TEXT_CHARS),
        disclaimers=disclaimers,
        nothing_found=nothing_found,
        classes=tuple(_class(each, nothing_found) for each in top.sections("classes", most=MAX_CLASSES)),
    )
    top.close()
    if policy.review_by <= policy.reviewed:
        top.refuse("review_by", f"a day after {policy.reviewed}", str(policy.review_by))
    names = [each.name for each in policy.classes]
    if len(set(names)) < len(names):
        top.refuse("classes", "a name each", names)
    return policy


def _head(section: Section) -> HeadRule:
    rule = HeadRule(
        miss_rate_upper=section.number("miss_rate_upper", 0, 1),
        code_margin=section.number("code_margin", 0, MAX_MARGIN),
        without_head=section.choice("without_head", WITHOUT),
    )
    section.close()
    return rule


def _class(section: Section, nothing_found: Mapping[str, str]) -> SensitiveClass:
    name = section.text("name")
    if not _NAME.fullmatch(name):
        section.refuse("name", "small letters and underscores, 40 at most", name)
    own = nothing_found
    if "nothing_found" in section:
        own = _by_language(section.section("nothing_found"), like=nothing_found)
    terms = _terms(section.section("terms")) if "terms" in section else {}
    kinds = section.texts("head_kinds") if "head_kinds" in section else ()
    section.close()
    if not terms and not kinds:
        section.refuse("head_kinds", "kinds of the head, or terms: one signal at least", [])
    needles = tuple(dict.fromkeys(needle(term) for each in terms.values() for term in each))
    return SensitiveClass(name, kinds, terms, needles, own)


def _terms(section: Section) -> dict[str, tuple[str, ...]]:
    terms = {language: section.texts(language, longest=MAX_TERM_CHARS) for language in _languages(section)}
    for language, own in terms.items():
        for term in own:
            if not needle(term):
                section.refuse(language, "terms with a letter or digit", term)
    return terms


def _by_language(section: Section, like: Mapping[str, str] | None = None) -> dict[str, str]:
    texts = {language: section.text(language) for language in _languages(section)}
    wanted = {FALLBACK} if like is None else set(like)
    missing = sorted(wanted - set(texts))
    unknown = sorted(set(texts) - wanted) if like is not None else []
    if missing or unknown:
        section.refuse((missing or unknown)[0], f"a text in each of {', '.join(sorted(wanted))}", sorted(texts))
    return texts


def _languages(section: Section) -> list[str]:
    languages = section.keys
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            section.refuse(language, "a language such as en or pt-br", language)
    if len(languages) > MAX_LANGUAGES:
        section.refuse(languages[-1], f"at most {MAX_LANGUAGES} languages", len(languages))
    return languages
