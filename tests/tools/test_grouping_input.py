import functools
import runpy

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(("content", "complaint"), [
    ("path,subject\na,b\n", "missing slice"), ("path,subject,slice\na,P,1.5\n", "slice '1.5' is not an integer"),
    ("path,subject,slice\na,,1\n", "no row has a subject"),
    ("path,subject,slice\na,?,1\nb,unknown,2\n", "no row has a subject"), (b"\x80\x81", "cannot be read as CSV")])
def test_a_table_that_says_no_truth_is_one_line(call_script, tmp_path, content, complaint):
    (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    script = functools.partial(runpy.run_path, str(ROOT / "tools" / "grouping_table.py"), run_name="__main__")
    code, _, err = call_script(script, tmp_path, "t.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err
