import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from functions.runtime.errors import UserError
from models.pretrained.places.folders import weights_in
from models.pretrained.places.hub import download, on_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"a pickle", "run.py": b"code",
         "model-00001-of-00002.safetensors": b"1", "model-00002-of-00002.safetensors": b"2",
         "onnx/model.onnx": b"other", "open_clip_model.safetensors": b"the same again"}


@contextmanager
def hub(repositories, asked):
    """A server that answers huggingface_hub as the Hub does: what a repository holds, and each file."""
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.split("?")[0]
            for name, files in repositories.items():
                if path.startswith(f"/api/models/{name}/revision/"):
                    self.answer({"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]})
                    return
                if path.startswith(f"/api/models/{name}/tree/"):
                    self.answer([{"type": "file", "path": file, "size": len(content), "oid": f"{len(content):040}"}
                                 for file, content in files.items()])
                    return
                file = path.removeprefix(f"/{name}/resolve/{COMMIT}/")
                if file in files:
                    asked.append(file)
                    self.answer(files[file])
                    return
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def answer(self, content):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(200)
            self.send_header("ETag", f'"{len(body):040}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use(endpoint, cache, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


def test_what_the_bridge_reads_is_downloaded_once_and_no_pickle(tmp_path, monkeypatch):
    asked = []
    with hub({"facebook/dinov2-small": FILES, "timm/vit_small_patch14_dinov2.lvd142m": FILES}, asked) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        for _ in range(2):
            folder = download("hf:facebook/dinov2-small")
        assert {*asked} == {"config.json", "model.safetensors", "model-00001-of-00002.safetensors",
                            "model-00002-of-00002.safetensors"}
        assert weights_in(folder).read_bytes() == b"weights"
        before = len(asked)
        assert weights_in(download("timm:vit_small_patch14_dinov2.lvd142m")).read_bytes() == b"weights"
        assert len(asked) > before
    assert download("hf:facebook/dinov2-small") == folder, "without a connection, what is there is used"


def test_open_clips_file_is_downloaded_where_there_is_no_other(tmp_path, monkeypatch):
    files = {name: content for name, content in FILES.items() if not name.startswith("model")}
    with hub({"laion/CLIP": files}, asked := []) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        assert weights_in(download("hf:laion/CLIP")).name == "open_clip_model.safetensors"
    assert not {"pytorch_model.bin", "run.py"} & {*asked}


def test_what_cannot_be_downloaded_is_one_sentence_with_the_way_out(tmp_path, monkeypatch):
    asked = []
    with hub({"some/pickles": {"pytorch_model.bin": b"a pickle", "config.json": b"{}"}}, asked) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        for source, complaint in (
                ("hf:some/pickles", r"some/pickles holds no model.safetensors \(nor .* cache, .*\); its other"),
                ("hf:no/where", r"cannot download no/where \(.*\): `hf download no/where --local-dir FOLDER` on a mac"),
                ("hf:no/where@v2", r"cannot .*: `hf download no/where --revision v2 --local-dir FOLDER` on"),
                ("hf:no/where@v2", r"cannot download no/where \(.*\): ")):
            with pytest.raises(UserError, match=f"--weights {source}: {complaint}") as refusal:
                download(source)
            assert "\n" not in str(refusal.value)
    assert "pytorch_model.bin" not in asked
    with pytest.raises(UserError, match=r"cannot download facebook/dinov2-small \(.+\): .*and --weights FOLDER here"):
        download("hf:facebook/dinov2-small")                              # the server is gone


@pytest.mark.parametrize("source", ["hf:", "timm:", "hf:a/b/c", "hf:name", "hf:my model/x", "hf:../../etc", "timm:a b",
                                    "hf:/work/weights/dino"])
def test_what_is_no_name_on_the_hub_is_not_asked_for(source, tmp_path, monkeypatch):
    use("http://127.0.0.1:1", tmp_path, monkeypatch)
    with pytest.raises(UserError, match=f"--weights {source} is no name on the Hub: expected hf:OWNER/NAME, such as"):
        download(source)


def test_a_revision_is_asked_for(tmp_path, monkeypatch):
    import huggingface_hub

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *names, revision, **_: asked.append(
        (names, revision)) or tmp_path)
    download("timm:vit_tiny_patch16_224.augreg_in21k@v1.0")
    download("hf:facebook/dinov2-small")
    assert asked == [(("timm/vit_tiny_patch16_224.augreg_in21k",), "v1.0"), (("facebook/dinov2-small",), None)]


def test_without_the_package_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="hf:a/b needs the package huggingface_hub: pip install huggingface_hub, or "):
        download("hf:a/b")


def test_names_on_the_hub_are_known_by_their_prefix(tmp_path):
    assert [source for source in ("hf:a/b", "timm:a", "DEFAULT", tmp_path, "a.pth") if on_hub(source)] == ["hf:a/b",
                                                                                                           "timm:a"]
