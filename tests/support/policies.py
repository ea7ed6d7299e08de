"""A small policy file, and variations of it."""

from pathlib import Path

from sightline_cloud.policy.document import Policy
from sightline_cloud.policy.read import parse_policy

POLICY = """
format = 1
version = 7
owner = "The reviewers"
reviewed = 2026-01-01
review_by = 2099-01-01
allowed_sources = ["health.example", "law.example"]

[head]
miss_rate_upper = 0.05
code_margin = 0.0
without_head = "restricted"

[disclaimers]
en = "No advice."
de = "Kein Rat."

[nothing_found]
en = "No answer."
de = "Keine Antwort."

[[classes]]
name = "medical"
head_kinds = ["rash"]
[classes.terms]
en = ["skin rash", "antibiotic*"]
de = ["Hautausschlag", "Ärztin"]
[classes.nothing_found]
en = "Ask a doctor."
de = "Fragen Sie in einer Praxis."

[[classes]]
name = "weapons"
[classes.terms]
en = ["gun"]
sv = ["gevär*"]
"""


def changed(*changes: tuple[str, str]) -> str:
    """The policy with each of some texts, which must be there, replaced."""
    text = POLICY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def policy(*changes: tuple[str, str]) -> Policy:
    return parse_policy(changed(*changes).encode(), "policy.toml")


def write_policy(folder: Path, *changes: tuple[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "policy.toml"
    path.write_text(changed(*changes), encoding="utf-8")
    return path
