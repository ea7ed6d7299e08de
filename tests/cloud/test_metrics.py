"""GET /metrics: what was asked and how it was answered, in Prometheus's format, naming no tenant, key or item."""

from prometheus_client.parser import text_string_to_metric_families
from support.asking import answer, query
from support.service import Service


def samples(service: Service) -> dict[str, float]:
    """Return every sample's value by its name and labels."""
    with service.operator(None) as http:
        page = http.get("/metrics")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(page.text)
    return {
        each.name + "".join(f" {key}={value}" for key, value in sorted(each.labels.items())): each.value
        for family in families
        for each in family.samples
    }


def test_answers_stages_and_refusals_are_counted(service) -> None:
    for number in (4, 77):
        answer(service, query(service, number))
    with service.http() as http:
        assert http.get("/v1/items/none").status_code == 404
        assert http.get("/no/such/page").status_code == 404
    seen = samples(service)
    answered = {name: value for name, value in seen.items() if name.startswith("sightline_answers_total")}
    assert sum(answered.values()) == 2 and all("tenant_class=flat" in name for name in answered)
    assert seen["sightline_requests_total method=POST route=/v1/search status=200"] == 2
    assert seen["sightline_requests_total method=GET route=none status=404"] == 1
    assert seen["sightline_errors_total code=E_ITEM_NOT_FOUND"] == 1
    assert seen["sightline_stage_seconds_count stage=search"] == 2
    assert seen["sightline_stage_seconds_count stage=route"] == 2
    assert seen["sightline_cache_lookups_total outcome=misses"] == 2
    # All ten items for the first query; the second found the same ones, and nothing has changed since.
    assert (
        seen["sightline_items_lookups_total outcome=misses"] == seen["sightline_items_lookups_total outcome=hits"] == 10
    )
    assert seen["sightline_items_bytes"] > 10 * 500
    assert sum(value for name, value in seen.items() if name.startswith("sightline_vectors ")) == 10
    assert seen["sightline_degrade_level"] == 0


def test_no_tenant_key_or_item_is_named(service) -> None:
    key = service.new_key("another-phone", "tenant-of-somebody")
    answer(service, query(service, 4), key)
    with service.http(key) as http:
        http.get("/v1/items/secret-item")
    with service.operator(None) as http:
        page = http.get("/metrics").text
    for secret in ("tenant-of-somebody", "another-phone", "secret-item", "item/", key):
        assert secret not in page


def test_it_is_at_the_operators_port_only(service) -> None:
    with service.http() as http:
        assert http.get("/metrics").status_code == 404
