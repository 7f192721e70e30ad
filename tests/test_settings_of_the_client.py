"""Flag over environment over project file; and a project file never decides where a token goes."""

from pathlib import Path

import pytest
from stand_in import Answer, StandIn, page, qgjob


def asked_for(server: StandIn) -> str:
    return [dict(asked.query)["org_id"] for asked in server.requests if asked.path == "/jobs"][-1]


def test_a_flag_wins_over_the_environment_and_that_over_the_project_file(tmp_path: Path) -> None:
    (tmp_path / ".qgjob.toml").write_text('org_id = "from-file"')
    (tmp_path / ".git").mkdir()
    below = tmp_path / "app" / "tests"
    below.mkdir(parents=True)
    with StandIn() as server:
        server.on("GET", "/jobs", page())
        assert qgjob("list", server=server, cwd=below).exit == 0
        assert asked_for(server) == "from-file"
        assert qgjob("list", server=server, cwd=below, QGJOB_ORG_ID="from-env").exit == 0
        assert asked_for(server) == "from-env"
        assert qgjob("list", "--org-id=from-flag", server=server, cwd=below, QGJOB_ORG_ID="from-env").exit == 0
        assert asked_for(server) == "from-flag"


def test_a_project_file_above_the_repository_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".qgjob.toml").write_text('org_id = "not-mine"')
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    result = qgjob("list", cwd=tmp_path / "repo")
    assert result.exit == 2
    assert "missing --org-id" in result.stderr


@pytest.mark.parametrize("key", ["server_url", "token"])
def test_a_project_file_may_not_say_where_or_as_whom(tmp_path: Path, key: str) -> None:
    (tmp_path / ".qgjob.toml").write_text(f'org_id = "a"\n{key} = "http://127.0.0.1:1"')
    with StandIn() as server:
        result = qgjob("list", server=server, cwd=tmp_path)
        assert server.requests == []
    assert result.exit == 2
    assert "a project file may not" in result.stderr


def test_outside_a_repository_only_the_current_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / ".qgjob.toml").write_text('org_id = "not-mine"')
    (tmp_path / "below").mkdir()
    assert qgjob("list", cwd=tmp_path / "below").exit == 2


def test_an_unknown_key_of_the_project_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".qgjob.toml").write_text('org_id = "a"\nprioriti = "low"')
    result = qgjob("list", cwd=tmp_path)
    assert result.exit == 2
    assert ".qgjob.toml, line 2: the file has a key 'prioriti' that means nothing" in result.stderr
    assert "did you mean priority? it may have org_id, app_version_id, target, priority, reset" in result.stderr


def test_a_submission_takes_its_defaults_from_the_project_file(tmp_path: Path) -> None:
    (tmp_path / ".qgjob.toml").write_text(
        'org_id = "o"\napp_version_id = "v"\ntarget = "device:ios"\npriority = "low"\njob_timeout = "90s"\n'
    )
    plan = qgjob("submit", "--test=a", "--dry-run", "--json", cwd=tmp_path).document["data"]
    assert plan["org_id"] == "o"
    assert plan["defaults"] == {"priority": "low", "timeout_s": 90}
    assert plan["jobs"][0]["selector"] == {"platform": "ios"}


def test_the_token_is_sent_as_bearer_to_loopback() -> None:
    with StandIn() as server:
        server.on("GET", "/workers", [])
        assert qgjob("workers", server=server, QGJOB_TOKEN=" qg_secret\n").exit == 0
        assert server.requests[0].headers["authorization"] == "Bearer qg_secret"
        assert qgjob("workers", server=server).exit == 0
        assert "authorization" not in server.requests[1].headers


@pytest.mark.parametrize("host", ["qgjob.invalid", "127.0.0.1.qgjob.invalid", "localhost.qgjob.invalid"])
def test_the_token_never_leaves_this_machine_unencrypted(host: str) -> None:
    result = qgjob("workers", f"--server-url=http://{host}", QGJOB_TOKEN="qg_secret")
    assert result.exit == 2
    assert "unencrypted" in result.stderr
    assert "qg_secret" not in result.stderr


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with StandIn() as other, StandIn() as server:
        server.on("GET", "/workers", Answer(302, "", {"location": f"{other.url}/workers"}))
        result = qgjob("workers", server=server, QGJOB_TOKEN="qg_secret")
        assert other.requests == []
    assert result.exit == 5


@pytest.mark.parametrize(
    "url",
    [
        "qgjob.example.com", "ftp://x", "http://", "http://u:p@127.0.0.1", "http://[::1", "http://a b.example",
        "http://127.0.0.1/\x01", "http://xn--.example", f"http://{'a' * 70}.example",
    ],
)  # fmt: skip
def test_a_server_url_that_is_none_is_a_usage_error(url: str) -> None:
    result = qgjob("workers", f"--server-url={url}")
    assert (result.exit, "error: not a server URL" in result.stderr or "credentials" in result.stderr) == (2, True)


def test_space_around_the_server_url_is_not_part_of_it() -> None:
    with StandIn() as server:
        server.on("GET", "/workers", [])
        assert qgjob("workers", QGJOB_SERVER_URL=f" {server.url}/\n").exit == 0


def test_a_variable_that_github_does_not_have_is_not_this_machine() -> None:
    result = qgjob("workers", QGJOB_SERVER_URL="", GITHUB_ACTIONS="true")
    assert result.exit == 2
    assert "server-url is empty" in result.stderr
    assert "set the variable QGJOB_SERVER_URL" in result.stderr
    assert qgjob("workers", QGJOB_SERVER_URL="").exit != 2, "elsewhere it means the default"
