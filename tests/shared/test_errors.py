"""The error tree: stable codes, one each, that travel and come back as the same class."""

import inspect

from sightline_shared import errors
from sightline_shared.errors import BY_CODE, ServiceFailed, SightlineError, from_dict

# Apps and dashboards match on these: a code may be added here, never changed or removed.
RELEASED = {
    "E_INTERNAL", "E_INPUT", "E_IMAGE_UNREADABLE", "E_IMAGE_TOO_LARGE", "E_MANIFEST_INVALID", "E_RECIPE_INVALID",
    "E_CONFIG_INVALID", "E_TRAINING_DATA_TOO_SMALL", "E_PROTOCOL", "E_BODY_MALFORMED", "E_BODY_TOO_LARGE",
    "E_PROTOCOL_UNKNOWN", "E_VERSION_MISMATCH", "E_ACCESS", "E_KEY_MISSING", "E_KEY_UNKNOWN", "E_SCOPE_MISSING", "E_CALLER_GONE",
    "E_BUNDLE", "E_BUNDLE_NOT_FOUND", "E_BUNDLE_CORRUPT", "E_BUNDLE_UNSUPPORTED", "E_GOLDEN_MISMATCH",
    "E_RUNTIME_FAILED", "E_SERVICE", "E_SERVICE_UNREACHABLE", "E_SERVICE_TIMEOUT", "E_SERVICE_BUSY",
    "E_SERVICE_NOT_READY", "E_ANSWER_MALFORMED", "E_SERVICE_FAILED", "E_STORE", "E_STORE_UNAVAILABLE",
    "E_STORE_CORRUPT", "E_ITEM_NOT_FOUND", "E_INDEX_FAILED", "E_EXTRA_MISSING", "E_PORT_IN_USE", "E_BAR_MISSED",
    "E_FILTER_INVALID", "E_SHARDS_MISSING", "E_CHANGES_PRUNED", "E_SNAPSHOT_CORRUPT",
}  # fmt: skip


def classes() -> list[type[SightlineError]]:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, SightlineError)]


def test_every_class_has_its_own_code() -> None:
    codes = [kind.code for kind in classes()]
    assert len(codes) == len(set(codes)) == len(BY_CODE)


def test_no_released_code_has_changed() -> None:
    assert set(BY_CODE) >= RELEASED


def test_the_docstring_draws_every_class() -> None:
    assert not [kind.__name__ for kind in classes() if kind.__name__ not in (errors.__doc__ or "")]


def test_an_error_travels_and_comes_back() -> None:
    for kind in classes():
        sent = kind("expected a, got b.", hint="do c.", request_id="00ff")
        back = from_dict(sent.to_dict())
        assert type(back) is kind and (back.message, back.hint, back.request_id) == (sent.message, "do c.", "00ff")


def test_a_code_from_the_future_becomes_a_service_failure() -> None:
    error = from_dict({"code": "E_NEW", "message": "expected x, got y."})
    assert type(error) is ServiceFailed and error.message == "expected x, got y."
