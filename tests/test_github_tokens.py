"""A job of GitHub Actions gets a token for its own: genuine, fresh, used once, and of a repository that is trusted."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from callers import Answer, ask, asking, token
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from engine import Engine, refused
from faulty_network import LOST, FaultyNetwork
from issuer import AUDIENCE, Issuer
from processes import Services, answers
from psycopg.types.json import Jsonb

from qgjob.children import free_port, wait_until
from qgjob.tokens import hashed, new_token


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def api(services: Services, issuer: Issuer) -> str:
    return asking(services, QGJOB_OIDC_AUDIENCE=AUDIENCE, QGJOB_OIDC_ISSUER=issuer.url)


def trust(engine: Engine, issuer: Issuer, **more: Any) -> Any:
    return engine.call("add_trust", **{"org_id": "acme", "issuer": issuer.url, "repository_owner_id": "9919",
                                       "repository_id": "724712", **more})  # fmt: skip


def exchange(api: str, token: str, **more: Any) -> Answer:
    return ask(api + "/tokens/oidc", body={"token": token, **more})


def rule(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["type"].removeprefix("urn:qgjob:")


def test_a_trusted_job_submits_for_its_organisation_only(api: str, engine: Engine, issuer: Issuer) -> None:
    trust(engine, issuer)
    got = exchange(api, issuer.token())
    assert got.status == 201, got
    assert (got.body["org_id"], got.body["scopes"], got.headers["Cache-Control"]) == ("acme", ["submit"], "no-store")
    job = {"org_id": "acme", "app_version_id": "v1", "test_path": "a.js"}
    assert ask(api + "/jobs", got.body["token"], job).status == 201
    assert rule(ask(api + "/jobs", got.body["token"], job | {"org_id": "other"})) == (404, "org_exists")
    assert rule(ask(api + "/tokens", got.body["token"], {"name": "x", "scopes": ["read"]})) == (403, "scope_suffices")
    lives = engine.value("select extract(epoch from expires_at - created_at)::integer from qgjob.api_token")
    assert lives == 3600
    assert not ask(api + "/tokens", token(engine, "admin")).body["tokens"][1:], "exchanged ones are not listed"


def test_what_is_not_genuine_is_refused(api: str, engine: Engine, issuer: Issuer) -> None:
    trust(engine, issuer)
    head, _, signature = issuer.token().split(".")
    changed = base64.urlsafe_b64encode(json.dumps({"repository_id": "724712"}).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"key-1"}').decode().rstrip("=")
    genuine = issuer.token()
    for forged in (
        "", "x", "a.b.c", "é.é.é",
        f"{head}.{changed}.{signature}",
        f"{none}.{genuine.split('.')[1]}.",
        genuine[:-6] + "AAAAAA",
        issuer.token(key=generate_private_key(65537, 2048)),
        issuer.token(key=b"secret" * 10, algorithm="HS256"),
        issuer.token(key=hmac_key(issuer), algorithm="HS256"),
        issuer.token(jti=None), issuer.token(exp=None), issuer.token(iat=None), issuer.token(aud=None),
    ):  # fmt: skip
        assert rule(exchange(api, forged)) in (
            (401, "oidc_token_is_genuine"),
            (401, "oidc_token_is_for_this_server"),
        ), forged
    for aud in ("https://elsewhere.example", [AUDIENCE, "https://elsewhere.example"]):
        assert rule(exchange(api, issuer.token(aud=aud))) == (401, "oidc_token_is_for_this_server"), aud
    for iss in ("https://token.actions.githubusercontent.com", issuer.url + "/", None):
        assert exchange(api, issuer.token(iss=iss)).status == 401
    assert engine.value("select count(*) from qgjob.api_token") == 0
    assert engine.value("select count(*) from qgjob.exchanged") == 0
    assert exchange(api, genuine).status == 201, "the forgeries have not used it up"


def hmac_key(issuer: Issuer) -> bytes:
    """The public key as the secret of an HMAC, whose PEM armour would be noticed by the library that forges it."""
    return b"\n".join(issuer.public_pem.splitlines()[1:-1])


def test_time_is_told_by_postgresql(api: str, engine: Engine, issuer: Issuer) -> None:
    trust(engine, issuer)
    now = int(time.time())
    assert rule(exchange(api, issuer.token(exp=now - 60))) == (401, "oidc_token_is_fresh")
    assert rule(exchange(api, issuer.token(iat=now + 600))) == (401, "oidc_token_is_fresh")
    assert rule(exchange(api, issuer.token(nbf=now + 600))) == (401, "oidc_token_is_fresh")
    for odd in ({"exp": 10**30}, {"iat": -1}, {"exp": "soon"}, {"jti": ""}, {"jti": "x" * 300}, {"nbf": "x"}):
        assert exchange(api, issuer.token(**odd)).status == 401, odd


def test_a_token_is_exchanged_once_also_by_two_at_once(api: str, engine: Engine, issuer: Issuer) -> None:
    trust(engine, issuer)
    once = issuer.token()
    assert exchange(api, once).status == 201
    assert rule(exchange(api, once)) == (401, "oidc_token_is_used_once")

    now = int(time.time())
    claims = {"exp": now + 300, "iat": now, "jti": "raced", "repository_owner_id": "9919", "repository_id": "724712"}
    text, answers = new_token(), []

    def race() -> None:
        with engine.another() as second, refused("oidc_token_is_used_once"):
            second.call("exchange_token", issuer=issuer.url, claims=Jsonb(claims), hash=hashed(new_token()), hint="x")
        answers.append("refused")

    with engine.another() as first, first.connection.transaction():
        first.call("exchange_token", issuer=issuer.url, claims=Jsonb(claims), hash=hashed(text), hint="x")
        racing = threading.Thread(target=race)
        racing.start()
        assert wait_until(
            lambda: engine.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") > 0, 30
        )
    racing.join(30)
    assert answers == ["refused"]


def test_trust_is_by_number_and_as_narrow_as_it_was_given(api: str, engine: Engine, issuer: Issuer) -> None:
    refusals = (403, "repository_is_trusted")
    assert rule(exchange(api, issuer.token())) == refusals
    trust(engine, issuer, ref="refs/heads/main", event_name="push", environment="ci")
    assert exchange(api, issuer.token(environment="ci")).status == 201
    for other in (
        {}, {"environment": "prod"}, {"environment": "ci", "ref": "refs/heads/x"},
        {"environment": "ci", "event_name": "pull_request"}, {"environment": "ci", "repository_id": "1"},
        {"environment": "ci", "repository_owner_id": "1"}, {"environment": "ci", "repository_owner_id": None},
    ):  # fmt: skip
        assert rule(exchange(api, issuer.token(**other))) == refusals, other
    assert rule(exchange(api, issuer.token(environment="ci", repository_id="1", repository="acme/app"))) == refusals
    engine.call("add_trust", org_id="acme", issuer="https://another", repository_owner_id="1")
    assert rule(exchange(api, issuer.token(repository_owner_id="1"))) == refusals, "of another issuer"
    engine.call("add_trust", org_id="acme", issuer=issuer.url, repository_owner_id="9919")
    assert exchange(api, issuer.token(repository_id="1")).status == 201
    assert rule(exchange(api, issuer.token(event_name="pull_request_target"))) == (403, "event_can_be_trusted")
    with refused("event_can_be_trusted"):
        trust(engine, issuer, event_name="pull_request_target")
    with refused("ref_is_complete"):
        trust(engine, issuer, ref="main")


def test_where_two_organisations_trust_it_one_is_named(api: str, engine: Engine, issuer: Issuer) -> None:
    trust(engine, issuer)
    trust(engine, issuer, org_id="other")
    assert rule(exchange(api, issuer.token())) == (422, "org_is_named")
    assert exchange(api, issuer.token(), org_id="other").body["org_id"] == "other"
    assert rule(exchange(api, issuer.token(), org_id="third")) == (403, "repository_is_trusted")


def test_trust_that_ends_takes_its_tokens_along(api: str, engine: Engine, issuer: Issuer) -> None:
    given = trust(engine, issuer)
    got = exchange(api, issuer.token()).body["token"]
    assert ask(f"{api}/trusts/{given.trust_id}", token(engine, "admin"), method="DELETE").status == 204
    with refused("token_is_valid"):
        engine.call("resolve_token", hash=hashed(got))
    assert rule(exchange(api, issuer.token())) == (403, "repository_is_trusted")


def test_a_freshly_rotated_key_is_fetched_and_forged_ones_are_not_chased(
    api: str, engine: Engine, issuer: Issuer
) -> None:
    trust(engine, issuer)
    assert exchange(api, issuer.token()).status == 201
    before = issuer.token()
    issuer.rotate()
    assert exchange(api, issuer.token()).status == 201
    assert issuer.fetches == 2
    assert rule(exchange(api, before)) == (401, "oidc_token_is_genuine"), "by a key that is no longer published"
    stranger = generate_private_key(65537, 2048)
    told = {rule(exchange(api, issuer.token(key=stranger, kid=f"forged-{number}"))) for number in range(20)}
    assert told == {(401, "oidc_token_is_genuine"), (503, "issuer_is_not_asked_too_often")}
    assert issuer.fetches == 5
    assert exchange(api, issuer.token()).status == 201, "known keys go on working"


def test_an_issuer_that_is_down_decides_nothing(api: str, engine: Engine, issuer: Issuer) -> None:
    trust(engine, issuer)
    issuer.down = True
    answer = exchange(api, issuer.token())
    assert rule(answer) == (503, "issuer_answers")
    assert answer.headers["Retry-After"]
    issuer.down = False
    assert exchange(api, issuer.token()).status == 201


def test_a_server_that_takes_none_says_so(services: Services, issuer: Issuer) -> None:
    assert rule(exchange(asking(services), issuer.token())) == (404, "oidc_is_set_up")


def of_job(issuer: Issuer) -> dict[str, str]:
    return {"ACTIONS_ID_TOKEN_REQUEST_URL": issuer.url + "/job?api-version=2", "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job"}  # fmt: skip


def test_the_command_line_exchanges_by_itself(services: Services, engine: Engine, issuer: Issuer) -> None:

    url = audience_api(services, issuer)
    trust(engine, issuer)
    submit = ("submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/login.spec.js")
    done = services.qgjob(*submit, QGJOB_SERVER_URL=url, **of_job(issuer))
    assert done.returncode == 0, done.stderr
    assert engine.value("select org_id from qgjob.run") == "acme"
    talk, masked = seen_by_the_runner(done.stderr)
    assert "qg_" not in done.stdout + talk
    assert len(masked) == 2, "GitHub's token and the server's"
    assert masked[1].startswith("qg_")

    configured = services.qgjob(
        "stats", QGJOB_SERVER_URL=url, QGJOB_TOKEN=token(engine, "read", org="acme"), **of_job(issuer)
    )
    assert configured.returncode == 0, configured.stderr
    assert engine.value("select count(*) from qgjob.exchanged") == 1, "a token that is there is used"

    issuer.claims = {"repository_id": "1"}
    stranger = services.qgjob(*submit, QGJOB_SERVER_URL=url, **of_job(issuer))
    assert stranger.returncode == 4
    assert "trusts this workflow" in stranger.stderr
    assert "qgjob trust add" in stranger.stderr
    fork = services.qgjob(*submit, QGJOB_SERVER_URL=url, GITHUB_ACTIONS="true")
    assert fork.returncode == 4
    assert "id-token: write" in fork.stderr


def seen_by_the_runner(stderr: str) -> tuple[str, list[str]]:
    """What it shows, and what it was told never to show."""
    lines = stderr.splitlines()
    order = "::add-mask::"
    return (
        "\n".join(line for line in lines if not line.startswith(order)),
        [line.removeprefix(order) for line in lines if line.startswith(order)],
    )


def test_an_order_to_mask_is_given_only_where_it_is_obeyed(
    services: Services, engine: Engine, issuer: Issuer, tmp_path: Path
) -> None:
    url = audience_api(services, issuer)
    trust(engine, issuer)
    as_json = services.qgjob("stats", "--json", QGJOB_SERVER_URL=url, **of_job(issuer))
    assert "add-mask" not in as_json.stdout
    assert "add-mask" in as_json.stderr
    for command in ("stats", "logs --job-id=1 --follow"):  # into a file; and after the order to obey nothing
        with (tmp_path / "talk").open("w") as talk:
            subprocess.run(
                [sys.executable, "-m", "qgjob", *command.split()],
                env=os.environ | of_job(issuer) | {"QGJOB_SERVER_URL": url},
                stderr=talk if command == "stats" else subprocess.STDOUT,
                stdout=subprocess.DEVNULL if command == "stats" else talk,
                check=False,
            )
        assert "add-mask" not in (tmp_path / "talk").read_text(), command


@pytest.mark.parametrize(("refusals", "code", "asked"), [([503, 429, 500], 0, 4), ([403], 5, 1)])
def test_a_passing_trouble_of_github_is_outlived(
    services: Services, engine: Engine, issuer: Issuer, refusals: list[int], code: int, asked: int
) -> None:
    url = audience_api(services, issuer)
    trust(engine, issuer)
    issuer.refusals = refusals
    done = services.qgjob("stats", QGJOB_SERVER_URL=url, QGJOB_RETRY_FOR="30", **of_job(issuer))
    assert done.returncode == code, done.stderr
    assert ("GitHub gave no token for this job: HTTP 503; trying again" in done.stderr) is (code == 0)
    assert len([path for path in issuer.requests if path.startswith("/job")]) == asked


def test_a_server_that_is_away_for_a_moment_is_waited_for_with_github_too(
    services: Services, engine: Engine, issuer: Issuer
) -> None:
    """Once before it hears of the exchange, once after: GitHub is asked for another token then."""
    trust(engine, issuer)
    port = free_port()
    with FaultyNetwork(f"http://127.0.0.1:{port}") as network:
        audience_api(services, issuer, audience=network.url, port=port)
        faults = [502, LOST]
        network.fault = lambda asked: faults.pop(0) if asked.path == "/tokens/oidc" and faults else None
        done = services.qgjob("stats", QGJOB_SERVER_URL=network.url, QGJOB_RETRY_FOR="30", **of_job(issuer))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trying again") == 1
    assert engine.value("select count(*) from qgjob.exchanged") == 2


def test_a_refusal_in_a_job_of_github_says_what_would_help_there(
    services: Services, engine: Engine, issuer: Issuer
) -> None:
    url = audience_api(services, issuer)
    trust(engine, issuer)
    unknown = services.qgjob("stats", QGJOB_SERVER_URL=url, QGJOB_TOKEN=new_token(), GITHUB_ACTIONS="true")
    assert unknown.returncode == 4
    assert "id-token: write" not in unknown.stderr, "it showed a token"
    elsewhere = url.replace("127.0.0.1", "localhost")
    wrong = services.qgjob("stats", QGJOB_SERVER_URL=elsewhere, **of_job(issuer))
    assert wrong.returncode == 4
    assert f"it was asked for as {elsewhere}, and QGJOB_OIDC_AUDIENCE of the server is another" in wrong.stderr


def audience_api(services: Services, issuer: Issuer, *, audience: str | None = None, port: int | None = None) -> str:
    """An API whose audience is its own address, or that of a network before it."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    child = services.start("own", "api", "--port", str(port), QGJOB_AUTH="required",
                           QGJOB_OIDC_AUDIENCE=audience or url, QGJOB_OIDC_ISSUER=issuer.url)  # fmt: skip
    assert wait_until(lambda: not child.running or answers(f"{url}/health"), 60), child.last_lines()
    return url


def test_an_expired_token_is_exchanged_again_while_a_command_waits(
    services: Services, engine: Engine, issuer: Issuer
) -> None:
    url = audience_api(services, issuer)
    trust(engine, issuer)
    from qgjob.client import Client
    from qgjob.oidc import exchange as of_github

    with pytest.MonkeyPatch.context() as patched:
        for name, value in of_job(issuer).items():
            patched.setenv(name, value)
        client = Client(url, exchange=partial(of_github, url, None, mask=lambda _: None), retry_for_s=10)
        assert client.stats(None).org_id == "acme"
        issuer.refusals = [503]
        engine.connection.execute("update qgjob.api_token set revoked_at = qgjob.now()")
        assert wait_until(lambda: client.stats(None) and engine.value("select count(*) from qgjob.api_token") == 2, 30)
        client.close()


def test_without_an_offer_of_the_server_no_token_is_used(services: Services, issuer: Issuer) -> None:
    services.api()
    done = services.qgjob("stats", **of_job(issuer))
    assert done.returncode == 0, done.stderr
