"""Who shows a token gets what its scopes open, for as long as it is valid; who shows none gets nothing."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from callers import ask, asking, token
from engine import Engine, refused
from hypothesis import given
from hypothesis import strategies as st
from processes import CHECKOUT, Services
from test_isolation_of_organisations import MATRIX, asked

from qgjob.children import wait_until
from qgjob.tokens import ALPHABET, hashed, is_token, new_token

OPEN = {"GET /health", "GET /metrics", "GET /whoami", "POST /tokens/oidc"}
OPENS = {
    "read": {route for route in MATRIX if route.startswith("GET ")} - {
        "GET /tokens", "GET /trusts", "GET /webhooks", "GET /webhooks/{webhook_id}/deliveries",
        "GET /batches/{lease}/traces", "GET /builds/{org_id}/files/{name}"},
    "submit": {"POST /jobs", "POST /jobs/{job_id}/cancel", "POST /jobs/{job_id}/retry", "POST /runs",
               "POST /runs/{run_id}/cancel", "POST /runs/{run_id}/retry", "POST /runs/{run_id}/detach", "POST /builds",
               "POST /schedules", "PATCH /schedules/{schedule_id}", "DELETE /schedules/{schedule_id}",
               "POST /schedules/{schedule_id}/run",
               "PUT /builds/{org_id}/{app_version_id}/artifacts/{platform}"},
    "work": {route for route in MATRIX if "/batches/" in route} | {
             "PUT /jobs/{job_id}", "PUT /jobs/{job_id}/artifacts/{attempt}/{number}",
             "GET /builds/{org_id}/files/{name}", "POST /workers", "POST /workers/{worker_id}/end",
             "POST /workers/{worker_id}/devices/{device_id}/health",
             "POST /workers/{worker_id}/devices/{device_id}/release", "POST /workers/{worker_id}/sessions",
             *(f"POST /workers/{{worker_id}}/uploads/{word}" for word in ("find", "record", "forget")),
             "POST /workers/{worker_id}/devices",
             "POST /workers/{worker_id}/heartbeat", "POST /workers/{worker_id}/claims"},
    "admin": set(MATRIX),
}  # fmt: skip
OPENS["submit"] |= OPENS["read"]


@given(st.text(max_size=50), st.integers(0, 40), st.sampled_from(ALPHABET))
def test_a_token_is_known_by_its_shape_and_any_slip_of_the_pen(text: str, place: int, letter: str) -> None:
    token = new_token()
    assert is_token(token)
    assert not is_token(text)
    assert not is_token(token[:place])
    changed = token[:place] + letter + token[place + 1 :]
    assert is_token(changed) == (changed == token)


def test_each_scope_opens_its_routes_and_no_other(services: Services, engine: Engine) -> None:
    url = asking(services)
    for scope, opened in OPENS.items():
        shown = token(engine, scope, org="acme")
        for route, case in MATRIX.items():
            answer = asked(url, route, case, 1, shown)
            closed = answer.status == 403 and answer.body["type"] == "urn:qgjob:scope_suffices"
            assert closed != (route in opened | OPEN), (scope, route, answer)


def test_without_a_token_every_route_is_closed_but_those_for_probes(services: Services) -> None:
    url = asking(services)
    for route, case in MATRIX.items():
        answer = asked(url, route, case, 1, "")
        if route in OPEN - {"GET /whoami"}:
            assert answer.status not in (401, 403), route
            continue
        assert answer.status == 401, (route, answer)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.body["type"] == "urn:qgjob:token_is_shown"


def test_holding_a_run_takes_more_than_reading(services: Services, engine: Engine) -> None:
    """Who holds it and falls silent has it cancelled."""
    url = asking(services)
    run = engine.submit("a.js", org="acme").run_id
    held = f"{url}/runs/{run}?client_timeout_s=10"
    refused = ask(held, token(engine, "read", org="acme"))
    assert (refused.status, refused.body["type"]) == (403, "urn:qgjob:scope_suffices")
    assert ask(held, token(engine, "submit", org="rival")).status == 404
    assert engine.value("select client_until from qgjob.run") is None
    assert ask(held, token(engine, "submit", org="acme")).status == 200
    assert engine.value("select client_until from qgjob.run") is not None


def test_limits_are_set_by_the_operator_and_grouping_by_the_organisation(services: Services, engine: Engine) -> None:
    url = asking(services)
    engine.submit("a.js", org="acme")
    bound, everybodys = token(engine, "admin", org="acme"), token(engine, "admin")
    org = f"{url}/orgs/acme"
    for limit in ({"max_devices": 100}, {"max_pending_jobs": None}, {"weight": 1000}, {"requests_per_minute": None}):
        refused = ask(org, bound, limit, method="PATCH")
        assert (refused.status, refused.body["type"]) == (403, "urn:qgjob:limits_are_set_by_the_operator")
        assert ask(org, everybodys, limit, method="PATCH").status == 200
    assert ask(org, bound, {"group_by": ["repo"]}, method="PATCH").body["group_by"] == ["repo"]
    assert [seen["org_id"] for seen in ask(f"{url}/orgs", bound).body] == ["acme"]


def test_whose_token_it_is_uses_up_its_own_requests_only(services: Services, engine: Engine) -> None:
    """Whatever a request names, in its query or its body."""
    for org in ("acme", "rival"):
        engine.call("create_org", org_id=org, settings={"requests_per_minute": 3})
    url = asking(services)
    shown, victim = token(engine, "submit", org="acme"), token(engine, "read", org="rival")
    body = {"org_id": "rival", "app_version_id": "v1", "jobs": [{"test_path": "a.js"}]}
    wait_until(lambda: ask(f"{url}/runs", shown, body).status == 429, 30)
    assert ask(f"{url}/jobs?org_id=rival", shown).status == 429
    assert ask(f"{url}/jobs", victim).status == 200


def test_a_token_that_is_wrong_in_any_way_gets_one_answer(services: Services, engine: Engine) -> None:
    url = asking(services)
    expired, revoked = token(engine, "read", org="acme", expires_in_s=60), token(engine, "read", org="acme")
    engine.connection.execute("update qgjob.api_token set expires_at = qgjob.now() where expires_at is not null")
    engine.connection.execute("update qgjob.api_token set revoked_at = qgjob.now() where expires_at is null")
    said = {str(ask(f"{url}/jobs", wrong).body) for wrong in (expired, revoked, new_token())}
    assert len(said) == 1
    assert "token_is_valid" in said.pop()
    for shape in ("qg_", "x", "qg_" + "a" * 38, "a b"):
        answer = ask(f"{url}/jobs", shape)
        assert (answer.status, answer.body["type"]) == (401, "urn:qgjob:token_is_valid")
    assert ask(f"{url}/health", new_token()).status == 200, "a probe needs none"


def test_a_revoked_token_opens_nothing_at_once_here_and_soon_elsewhere(services: Services, engine: Engine) -> None:
    url, other = asking(services), asking(services, "other")
    admin, shown = token(engine, "admin"), token(engine, "read", org="acme")
    assert ask(f"{url}/jobs", shown).status == ask(f"{other}/jobs", shown).status == 200
    number = engine.value("select max(token_id) from qgjob.api_token")
    assert ask(f"{url}/tokens/{number}", admin, method="DELETE").body["revoked_at"]
    assert ask(f"{url}/jobs", shown).status == 401
    assert wait_until(lambda: ask(f"{other}/jobs", shown).status == 401, 30)
    assert ask(f"{url}/tokens/{number}", admin, method="DELETE").status == 200, "may be repeated"


def test_the_last_use_is_written_down(services: Services, engine: Engine) -> None:
    url = asking(services)
    admin = token(engine, "admin")
    assert ask(f"{url}/tokens", admin).body["tokens"][0]["last_used_at"] is not None


def test_who_is_bound_to_an_organisation_creates_tokens_for_it_only(services: Services, engine: Engine) -> None:
    url = asking(services)
    bound = token(engine, "admin", org="acme")
    made = ask(f"{url}/tokens", bound, {"name": "ci", "scopes": ["submit"]})
    assert (made.status, made.body["org_id"], made.headers["Cache-Control"]) == (201, "acme", "no-store")
    assert ask(f"{url}/whoami", made.body["token"]).body["org_id"] == "acme"
    assert ask(f"{url}/tokens", bound, {"name": "ci", "scopes": ["submit"], "org_id": "other"}).status == 404
    everybodys = token(engine, "admin")
    refusals = {"scopes_are_known": {"scopes": []}, "only_machines_serve_all": {"scopes": ["submit"]},
                "token_name_is_short": {"name": ""}, "org_id_is_a_name": {"org_id": "a b"}}  # fmt: skip
    for rule, change in refusals.items():
        answer = ask(f"{url}/tokens", everybodys, {"name": "n", "scopes": ["admin"]} | change)
        assert (answer.status, answer.body["type"]) == (422, f"urn:qgjob:{rule}"), answer
    stored = engine.rows("select * from qgjob.api_token")
    assert made.body["token"] not in str(stored)
    with refused("org_exists"), engine.connection.transaction():
        engine.connection.execute("select set_config('qgjob.org_id', 'acme', true)")
        engine.call("create_token", hash=hashed(new_token()), hint="x", name="n", scopes=["admin"])


def test_no_token_outlives_its_creator(services: Services, engine: Engine) -> None:
    url = asking(services)
    passing = token(engine, "admin", expires_in_s=3600)
    ends = ask(f"{url}/whoami", passing).body["expires_at"]
    for wanted in (None, 86_400):
        made = ask(f"{url}/tokens", passing, {"name": "n", "scopes": ["admin"], "expires_in_s": wanted})
        assert (made.status, made.body["expires_at"]) == (201, ends)
    shorter = ask(f"{url}/tokens", passing, {"name": "n", "scopes": ["admin"], "expires_in_s": 60})
    assert shorter.body["expires_at"] < ends
    lasting = ask(f"{url}/tokens", token(engine, "admin"), {"name": "n", "scopes": ["admin"]})
    assert lasting.body["expires_at"] is None


def cli(services: Services, *argv: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qgjob", *argv], input=stdin, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"QGJOB_SERVER_URL": services.url, "COLUMNS": "200"} | environment, cwd=CHECKOUT,
    )  # fmt: skip


def first_token(services: Services, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api", "token", "create", *options], capture_output=True, text=True, timeout=60,
        env=os.environ | {"QGJOB_DATABASE_URL": services.database_url}, cwd=CHECKOUT, check=False,
    )  # fmt: skip


def test_from_the_first_token_to_a_revoked_one(services: Services, tmp_path: Path) -> None:
    asking(services)
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    first = first_token(services, "--scope", "admin")
    assert first.returncode == 0, first.stderr
    assert is_token(first.stdout.strip())
    assert first_token(services, "--scope", "submit").returncode == 4

    nobody = cli(services, "list", "--org-id=acme", **home)
    assert nobody.returncode == 4
    assert "qgjob login" in nobody.stderr
    assert cli(services, "login", stdin=first.stdout[:-3] + "\n", **home).returncode == 2
    assert cli(services, "login", stdin=new_token() + "\n", **home).returncode == 4
    logged_in = cli(services, "login", stdin=first.stdout, **home)
    assert logged_in.returncode == 0, logged_in.stderr
    (kept,) = tmp_path.rglob("tokens.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "all" in cli(services, "whoami", **home).stdout

    made = cli(services, "token", "create", "--org-id=acme", "--name=ci", **home)
    assert made.returncode == 0, made.stderr
    ci = {"QGJOB_TOKEN": made.stdout.strip()}
    assert cli(services, "list", "--org-id=acme", **home, **ci).returncode == 0
    assert cli(services, "list", "--org-id=rival", **home, **ci).stdout == ""
    refused = cli(services, "token", "list", **home, **ci)
    assert refused.returncode == 4
    assert "scope" in refused.stderr
    assert made.stdout.strip() not in cli(services, "token", "list", **home).stdout
    assert cli(services, "token", "revoke", "2", **home).stdout == "Token 2 (ci) is revoked\n"
    assert cli(services, "list", "--org-id=acme", **home, **ci).returncode == 4

    added = cli(services, "trust", "add", "--org-id=acme", "--owner-id=1", **home)
    assert added.returncode == 4, "it has not been set up"
    assert "QGJOB_OIDC_AUDIENCE" in added.stderr
    assert cli(services, "trust", "list", **home).returncode == 0

    kept.chmod(0o644)
    assert "others may read" in cli(services, "whoami", **home).stderr
    kept.chmod(0o600)
    assert cli(services, "logout", **home).returncode == 0
    assert cli(services, "whoami", **home).returncode == 4
    log = (Path(services._folder) / "api.log").read_text()
    assert first.stdout.strip() not in log + logged_in.stdout + logged_in.stderr


def test_a_kept_token_goes_to_its_own_server_only(services: Services, engine: Engine, tmp_path: Path) -> None:
    asking(services)
    other = asking(services, "other")
    home = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert cli(services, "login", stdin=token(engine, "admin") + "\n", **home).returncode == 0
    assert cli(services, "whoami", **home).returncode == 0
    assert cli(services, "whoami", **home, QGJOB_SERVER_URL=other).returncode == 4


@pytest.mark.parametrize(
    ("environment", "options", "said"),
    [
        ({"QGJOB_AUTH": "off"}, ["--host", "0.0.0.0"], "would let everybody in"),
        ({"QGJOB_AUTH": "maybe"}, [], "required or off"),
        ({"QGJOB_AUTH": "required"}, ["--without-authentication"], "contradict"),
        ({"QGJOB_OIDC_AUDIENCE": "qgjob.example.com"}, [], "public URL"),
        ({"QGJOB_OIDC_AUDIENCE": "https://a.example", "QGJOB_OIDC_ISSUER": "http://far.example"}, [], "https"),
    ],
)
def test_the_api_does_not_start_half_protected(
    database_url: str, environment: dict[str, str], options: list[str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api", "--port", "0", *options], capture_output=True, text=True, timeout=60,
        env=os.environ | {"QGJOB_DATABASE_URL": database_url} | environment, cwd=CHECKOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr


def test_without_authentication_on_loopback_nobody_is_asked(services: Services) -> None:
    url = services.api()
    assert ask(f"{url}/whoami").body["authentication"] == "off"
    assert ask(f"{url}/jobs", "not even a token").status == 200
