import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalTokenNotFoundError

from functions.exporting.hub import check_target, hub_api, push
from functions.runtime.errors import UserError


class FakeApi:
    """A Hub of one user, `me`, of the organisation `lab`; records what is called."""

    def __init__(self, repositories=(), fail=None):
        self.repositories, self.fail, self.called = dict(repositories), fail or {}, []

    def _call(self, name, *arguments):
        self.called.append((name, *arguments))
        if name in self.fail:
            raise self.fail[name]

    def whoami(self):
        self._call("whoami")
        return {"name": "me", "orgs": [{"name": "lab"}]}

    def repo_exists(self, full):
        self._call("repo_exists", full)
        return full in self.repositories

    def list_repo_files(self, full):
        self._call("list_repo_files", full)
        return self.repositories[full]

    def create_repo(self, full, private, exist_ok):
        self._call("create_repo", full, private, exist_ok)
        self.repositories.setdefault(full, [])
        return f"https://hub/{full}"

    def upload_folder(self, repo_id, folder_path, commit_message):
        self._call("upload_folder", repo_id, folder_path)


@pytest.fixture
def folder(tmp_path):
    for name in ("README.md", "model.onnx"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(("name", "full"), [("vit", "me/vit"), ("me/vit", "me/vit"), ("lab/vit", "lab/vit")])
def test_a_new_repository_is_private_and_gets_the_whole_folder(name, full, folder):
    api = FakeApi()
    assert check_target(api, name) == full
    assert {call[0] for call in api.called} == {"whoami", "repo_exists"}, "nothing is written before the export"
    assert push(api, folder, full) == f"https://hub/{full}"
    assert ("create_repo", full, True, True) in api.called
    assert api.called[-1] == ("upload_folder", full, str(folder))


def test_another_users_repository_is_refused_before_anything_is_computed():
    api = FakeApi({"somebody/vit": []})
    with pytest.raises(UserError, match="^--push somebody/vit: somebody is not me or lab, to whom the token belongs"):
        check_target(api, "somebody/vit")
    assert api.called == [("whoami",)]


def test_an_own_repository_gets_a_commit_if_no_other_files_would_stay(folder):
    api = FakeApi({"me/vit": [".gitattributes", "README.md", "model.onnx"]})
    push(api, folder, "me/vit")
    assert api.called[-1][0] == "upload_folder"


def test_files_of_an_earlier_network_are_not_left_beside_this_one(folder):
    api = FakeApi({"me/vit": [".gitattributes", "README.md", "model.pt2", "model.safetensors"]})
    with pytest.raises(UserError, match=r"the repository exists and holds model.pt2 \(2 such files\)") as refusal:
        push(api, folder, "me/vit")
    assert {call[0] for call in api.called} == {"repo_exists", "list_repo_files"}
    assert f"{folder} is complete: hf upload me/vit {folder} --private uploads it later" in str(refusal.value)


def test_without_a_token_it_is_one_line():
    api = FakeApi(fail={"whoami": LocalTokenNotFoundError("Token is required.\nLog in with `hf auth login`.")})
    with pytest.raises(UserError, match="^--push vit: LocalTokenNotFoundError: Token is required. Log in with `hf"):
        check_target(api, "vit")


@pytest.mark.parametrize("step", ["create_repo", "upload_folder"])
def test_a_failed_upload_says_how_to_repeat_it_without_exporting_again(step, folder):
    api = FakeApi(fail={step: RuntimeError("Data processing error:\nconnection reset")})
    with pytest.raises(UserError, match="connection reset; .* is complete: hf upload me/vit") as refusal:
        push(api, folder, "me/vit")
    assert "\n" not in str(refusal.value)


def test_a_bug_is_not_reported_as_the_users_mistake(folder):
    with pytest.raises(KeyError):
        push(FakeApi(fail={"upload_folder": KeyError("x")}), folder, "me/vit")


class Hub(BaseHTTPRequestHandler):
    """Knows the token "good"."""

    def do_GET(self):
        known = self.headers.get("Authorization") == "Bearer good"
        content = json.dumps({"name": "me", "orgs": []} if known else {"error": "Invalid username or password."})
        exists = self.path != "/api/models/me/vit"
        self.send_response((200 if exists else 404) if known else 401)
        if not exists:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *arguments):
        """Nothing is printed."""


@pytest.fixture
def endpoint():
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_librarys_own_client_is_asked_as_this_module_asks_it(endpoint):
    assert check_target(HfApi(endpoint, token="good"), "vit") == "me/vit"
    with pytest.raises(UserError, match=r"^--push vit: \w+: .*(401|[Ii]nvalid)") as refusal:
        check_target(HfApi(endpoint, token="bad"), "vit")
    assert "\n" not in str(refusal.value)
    with pytest.raises(UserError, match="HFValidationError"):
        check_target(HfApi(endpoint, token="good"), "me/a name with spaces")


def test_without_a_network_it_is_one_line(endpoint):
    closed = endpoint.rsplit(":", 1)[0] + ":9"
    with pytest.raises(UserError, match="^--push vit: ConnectError: .*refused") as refusal:
        check_target(HfApi(closed, token="good"), "vit")
    assert "\n" not in str(refusal.value)


def test_the_client_is_the_librarys():
    assert isinstance(hub_api(), HfApi)
