"""Every error that can reach a user, in one tree, each with a stable code that travels.

    SightlineError
    |-- InputError                  what the caller gave cannot be used
    |   |-- ImageUnreadable         not a picture, truncated, or a format that we do not read
    |   |-- ImageTooLarge           more pixels or bytes than the cap
    |   |-- ImageBlocked            a picture that the service's operator does not take
    |   |-- ManifestInvalid         a catalogue manifest or folder that cannot be indexed
    |   |-- RecipeInvalid           an export recipe with unknown or impossible settings
    |   |-- ConfigInvalid           a setting out of range
    |   |-- DecisionInvalid         a decision file that does not say what it should
    |   |-- FilterInvalid           a malformed filter, or one on a key that is not kept for filtering
    |   `-- TrainingDataTooSmall    too few photographs or classes to train on
    |-- ProtocolError               bytes on the wire that do not say what they should
    |   |-- BodyMalformed
    |   |-- BodyTooLarge
    |   |-- BodyTooSlow             the body did not arrive in time
    |   |-- ProtocolUnknown         a protocol number that this side does not speak
    |   `-- VersionMismatch         query and index come from bundles that cannot meet
    |-- AccessError
    |   |-- KeyMissing
    |   |-- KeyUnknown
    |   |-- ScopeMissing
    |   `-- OverKeyLimit            more codes, matches or filter values than the key may ask for
    |-- BundleError
    |   |-- BundleNotFound
    |   |-- BundleCorrupt           a file that does not hash to what the manifest says
    |   |-- BundleUnsupported       a bundle format newer than this package
    |   |-- GoldenMismatch          the runtime gives other numbers than the bundle's golden outputs
    |   `-- BarMissed               an export whose figures miss its recipe's bars
    |-- RuntimeFailed               the inference runtime refused or failed
    |-- ServiceError
    |   |-- ServiceUnreachable
    |   |   `-- CertificateRefused  the service's certificate is not one that this device trusts
    |   |-- ServiceTimeout
    |   |-- ServiceBusy
    |   |   `-- RateLimited         more requests, or dearer ones, than the key or the address may send
    |   |-- ServiceNotReady
    |   |-- CallerGone              whoever asked closed the connection: for the service's log
    |   |-- ShardsMissing           too few shards answered within the deadline
    |   |-- AnswerMalformed         the service's bytes are not an answer
    |   `-- ServiceFailed           the service failed inside; the details are in its log
    |-- StoreError                  the catalogue's database
    |   |-- StoreUnavailable
    |   |-- StoreCorrupt
    |   |-- ChangesPruned           the change log does not reach back that far any more
    |   `-- ItemNotFound
    |-- IndexFailed                 the vector index refused or failed
    |   |-- NoEarlierSnapshot       nothing to roll back to
    |   `-- SnapshotCorrupt         an index file that does not hash to what its manifest says
    |-- PocketUnusable              a pocket index that is damaged, too large, of another format, or not the one a delta is for
    |-- ExtraMissing                an optional package is not installed
    `-- PortInUse

A message says what was expected, what came and where; `hint` says what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class SightlineError(Exception):
    """Base of every error that Sightline raises on purpose.

    `code` never changes once released: apps and dashboards match on it. `http_status` is what the
    service answers when the error ends a request.
    """

    code: ClassVar[str] = "E_INTERNAL"
    http_status: ClassVar[int] = 500
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.request_id = request_id

    def __str__(self) -> str:
        text = f"[{self.code}] {self.message}"
        return f"{text} {self.hint}" if self.hint else text

    def to_dict(self) -> dict[str, str]:
        """Return the error as it travels: code, message, hint and, when known, the request id."""
        body = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.request_id is not None:
            body["request_id"] = self.request_id
        return body


class InputError(SightlineError):
    code = "E_INPUT"
    http_status = 400


class ImageUnreadable(InputError):
    code = "E_IMAGE_UNREADABLE"
    http_status = 422
    default_hint = "Give a JPEG, PNG or WebP picture that opens in an image viewer."


class ImageTooLarge(InputError):
    code = "E_IMAGE_TOO_LARGE"
    http_status = 413
    default_hint = "Scale the picture down; 1000 pixels on the long side are plenty."


class ImageBlocked(InputError):
    code = "E_IMAGE_BLOCKED"
    http_status = 403
    default_hint = "The operator's list decides: 'sightline block list'."


class ManifestInvalid(InputError):
    code = "E_MANIFEST_INVALID"
    default_hint = "See 'sightline index add --help' for the columns of a manifest."


class RecipeInvalid(InputError):
    code = "E_RECIPE_INVALID"
    default_hint = "See export/README.md for every key of a recipe."


class ConfigInvalid(InputError):
    code = "E_CONFIG_INVALID"


class DecisionInvalid(InputError):
    code = "E_DECISION_INVALID"
    default_hint = "Make it again: 'sightline decision calibrate'."


class TrainingDataTooSmall(InputError):
    code = "E_TRAINING_DATA_TOO_SMALL"


class FilterInvalid(InputError):
    code = "E_FILTER_INVALID"


class ProtocolError(SightlineError):
    code = "E_PROTOCOL"
    http_status = 400


class BodyMalformed(ProtocolError):
    code = "E_BODY_MALFORMED"
    default_hint = "See shared/README.md for the wire format."


class BodyTooLarge(ProtocolError):
    code = "E_BODY_TOO_LARGE"
    http_status = 413


class BodyTooSlow(ProtocolError):
    code = "E_BODY_TOO_SLOW"
    http_status = 408
    default_hint = "Send it again on a better network, or send less."


class ProtocolUnknown(ProtocolError):
    code = "E_PROTOCOL_UNKNOWN"
    default_hint = "Upgrade the older of SDK and service."


class VersionMismatch(ProtocolError):
    code = "E_VERSION_MISMATCH"
    http_status = 409
    default_hint = "Ship the app with a bundle that the service has an index for, or add that index."


class AccessError(SightlineError):
    code = "E_ACCESS"
    http_status = 403


class KeyMissing(AccessError):
    code = "E_KEY_MISSING"
    http_status = 401
    default_hint = "Send 'Authorization: Bearer <api key>'."


class KeyUnknown(AccessError):
    code = "E_KEY_UNKNOWN"
    http_status = 401
    default_hint = "Check the API key; 'sightline key add' makes a new one."


class ScopeMissing(AccessError):
    code = "E_SCOPE_MISSING"


class OverKeyLimit(AccessError):
    code = "E_OVER_KEY_LIMIT"
    default_hint = "Ask for less, or have the key's limits raised: 'sightline key limit'."


class BundleError(SightlineError):
    code = "E_BUNDLE"


class BundleNotFound(BundleError):
    code = "E_BUNDLE_NOT_FOUND"
    default_hint = "Give the folder that holds the bundle's manifest.json."


class BundleCorrupt(BundleError):
    code = "E_BUNDLE_CORRUPT"
    default_hint = "Fetch the bundle again; 'sightline bundle verify' names every damaged file."


class BundleUnsupported(BundleError):
    code = "E_BUNDLE_UNSUPPORTED"
    default_hint = "Upgrade the sightline package."


class GoldenMismatch(BundleError):
    code = "E_GOLDEN_MISMATCH"
    default_hint = "Use another runtime version: this one does not compute the bundle's model correctly."


class BarMissed(BundleError):
    code = "E_BAR_MISSED"
    default_hint = "Train longer or on more photographs, lower the recipe's bar, or let it through with --force."


class RuntimeFailed(SightlineError):
    code = "E_RUNTIME_FAILED"


class ServiceError(SightlineError):
    """`retry_after_s`: seconds after which the service wants to be asked again, None when it did not say."""

    code = "E_SERVICE"
    http_status = 502
    retry_after_s: float | None = None


class ServiceUnreachable(ServiceError):
    code = "E_SERVICE_UNREACHABLE"
    default_hint = "Check the URL and the network; 'sightline serve' starts a service."


class CertificateRefused(ServiceUnreachable):
    code = "E_CERTIFICATE_REFUSED"
    default_hint = "Check the device's date and time, the URL's host name, and who signed the certificate."


class ServiceTimeout(ServiceError):
    code = "E_SERVICE_TIMEOUT"
    http_status = 504
    default_hint = "Give the query a longer deadline, or try again on a better network."


class ServiceBusy(ServiceError):
    code = "E_SERVICE_BUSY"
    http_status = 503
    default_hint = "Try again after the time that Retry-After names."


class RateLimited(ServiceBusy):
    code = "E_RATE_LIMITED"
    http_status = 429


class ServiceNotReady(ServiceError):
    code = "E_SERVICE_NOT_READY"
    http_status = 503
    default_hint = "Wait until GET /readyz answers 200."


class CallerGone(ServiceError):
    code = "E_CALLER_GONE"
    http_status = 499


class ShardsMissing(ServiceError):
    code = "E_SHARDS_MISSING"
    http_status = 503
    default_hint = "Try again; when it stays, the service's log names the shards that do not answer."


class AnswerMalformed(ServiceError):
    code = "E_ANSWER_MALFORMED"
    default_hint = "Check that the URL is a Sightline service and not a proxy's error page."


class ServiceFailed(ServiceError):
    code = "E_SERVICE_FAILED"
    http_status = 500
    default_hint = "The service's log has the details under the request id."


class StoreError(SightlineError):
    code = "E_STORE"


class StoreUnavailable(StoreError):
    code = "E_STORE_UNAVAILABLE"
    http_status = 503
    default_hint = "Check that the data folder is there, writable and not full."


class StoreCorrupt(StoreError):
    code = "E_STORE_CORRUPT"
    default_hint = "Restore the catalogue from a backup, or index the photographs into a new data folder."


class ChangesPruned(StoreError):
    code = "E_CHANGES_PRUNED"
    default_hint = "Build the index from the catalogue again; the service does so by itself."


class ItemNotFound(StoreError):
    code = "E_ITEM_NOT_FOUND"
    http_status = 404


class IndexFailed(SightlineError):
    code = "E_INDEX_FAILED"


class NoEarlierSnapshot(IndexFailed):
    code = "E_NO_EARLIER_SNAPSHOT"
    http_status = 409
    default_hint = "'sightline index stats' shows the snapshots that there are."


class SnapshotCorrupt(IndexFailed):
    code = "E_SNAPSHOT_CORRUPT"
    default_hint = "Remove the snapshot; the index is built from the catalogue again."


class PocketUnusable(SightlineError):
    code = "E_POCKET_UNUSABLE"
    default_hint = "Fetch it again: 'sightline pocket sync'."


class ExtraMissing(SightlineError):
    code = "E_EXTRA_MISSING"


class PortInUse(SightlineError):
    code = "E_PORT_IN_USE"


def _tree(root: type[SightlineError]) -> dict[str, type[SightlineError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[SightlineError]] = _tree(SightlineError)


def from_dict(body: dict[str, str]) -> SightlineError:
    """Rebuild an error that travelled; a code that this version does not know becomes ServiceFailed."""
    kind = BY_CODE.get(body.get("code", ""), ServiceFailed)
    return kind(
        body.get("message", "the service gave no message"),
        hint=body.get("hint"),
        request_id=body.get("request_id"),
    )
