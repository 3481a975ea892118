import io
import os
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text

from functions.evaluation.evaluation import Score
from functions.reports.evaluation_plots import plot_reliability, plot_roc, plot_score_by_stage
from functions.reports.figure_text import short
from functions.reports.plots import make_title, plot_confusion_matrix, plot_curve, plot_loss_curves, plot_prediction
from functions.runtime.exits import one_line_errors
from tests.forkserver import fork_context
from tests.functions.reports.test_plots import CURVES
from tests.tools.test_results_table import group, run
from tools.results_table import draw

HOSTILE = [r"$\frac$", r"$$", r"a $x^2$ b $", r"\mathbb{R}", "_hidden", "(all)", "stamps", "path", "%d", "{x}",
           "<b>&amp;", "=1+1", "x" * 255, "\u202eabc", "a\nb", "a\x1b[31mb", "\udcff", "1", "nan", "ä" * 127]


def figures(names):
    """Every figure we draw, with these names wherever one can stand."""
    size, one = len(names), names[0]
    people = np.arange(4 * size)
    labels, score = people % size, people / (4.0 * size)
    title = make_title(one, names[1:4])
    yield plot_loss_curves(CURVES, title)
    yield plot_curve(CURVES, "loss", title)
    yield plot_confusion_matrix(np.eye(size, dtype=int), names, title, [0])
    yield plot_prediction(np.zeros((4, 3)), np.full(size, 1 / size), names, one, title)
    curves = {name: (score, labels == k, Score(0.5, 0.2, 0.9)) for k, name in enumerate(names[:3])}
    yield plot_roc(curves, title)
    yield plot_reliability({one: [(0.5, 0.4, 3)], names[1]: [(0.6, 0.7, 4)]}, title)
    yield plot_score_by_stage(score, labels, names, title)
    runs = [run(0.6, [names[1]], recipe="mri_cpu", split=one, model=names[2])]
    yield draw(group(runs))


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("names", [HOSTILE[:4], HOSTILE[4:]], ids=["mathematics", "others"])
def test_no_text_of_any_figure_is_read_as_mathematics_or_tex(names):
    with mpl.rc_context({"text.usetex": True, "axes.formatter.use_mathtext": False}):        # a user's own matplotlibrc
        made = list(figures(names))
    for figure in made:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=20)
        assert file.getvalue().startswith(b"\x89PNG")
        for text in figure.findobj(Text):
            assert not text.get_parse_math(), text.get_text()
            assert not text.get_usetex()
            assert text.get_text().replace("\n", "").isprintable()


def test_names_of_any_kind_are_shown_whole_or_with_their_middle_left_out():
    assert short("MildDemented") == "MildDemented"
    assert short("a" * 20 + "b" * 20) == "a" * 20 + "b" * 1 + "…" + "b" * 10
    assert len(short("x" * 255)) == 32
    assert short("a\x1b[31m\nb\udcff") == r"a\x1b[31m\nb\xff"


def test_every_class_is_named_where_it_stands():
    names = ["1", "0", "$x$", "_y"]
    matrix = plot_confusion_matrix(np.arange(16).reshape(4, 4), names)
    assert [tick.get_text() for tick in matrix.axes[0].get_yticklabels()] == names
    prediction = plot_prediction(np.zeros((4, 3)), [0.1, 0.2, 0.3, 0.4], names, "0")
    assert [tick.get_text() for tick in prediction.axes[1].get_yticklabels()] == names
    assert [bar.get_width() for bar in prediction.axes[1].patches] == [0.1, 0.2, 0.3, 0.4]
    assert [bar.get_hatch() for bar in prediction.axes[1].patches] == [None, "//", None, None]


def test_a_thousand_classes_make_a_figure_that_a_file_can_hold():
    figure = plot_confusion_matrix(np.ones((1000, 1000), int), [f"class {k}" for k in range(1000)])
    assert max(figure.get_size_inches()) * 120 < 2**16
    assert len(figure.axes[0].texts) == 0
    assert 40 <= len(figure.axes[0].get_xticklabels()) <= 90
    curves = {f"class {k}": (np.arange(20.0), np.arange(20) % 2 == 0, Score(0.5)) for k in range(6)}
    named = [text.get_text().split(":")[0] for text in plot_roc(curves, "t").legends[0].get_texts()]
    assert named == [*curves, "chance"]


def _import_and_draw(folder):
    """A script that imports Matplotlib in this folder for the first time; what it prints is in err.txt."""
    os.dup2(os.open(folder / "err.txt", os.O_CREAT | os.O_WRONLY), 2)
    os.chdir(folder)
    for name, module in list(sys.modules.items()):          # the process it is forked from has imported Matplotlib
        python = not (getattr(module, "__file__", None) or "").endswith(".so")
        if name.startswith(("matplotlib", "functions.reports")) and python:
            del sys.modules[name]
    with one_line_errors():
        from functions.reports.plots import plot_loss_curves

        plot_loss_curves({"train_loss": [1.0], "train_acc": [0.5]}, "x").savefig("out.png", format="png")


@pytest.mark.parametrize(("settings", "code"), [(b"\xff\xfe", 2), (b"figure.dpi: -1\ntext.usetex: True", 0)],
                         ids=["damaged", "settings that draw nothing"])
def test_a_users_matplotlibrc_ends_no_script_with_a_traceback(tmp_path, settings, code):
    (tmp_path / "matplotlibrc").write_bytes(settings)
    process = fork_context().Process(target=_import_and_draw, args=(tmp_path,))
    process.start()
    process.join()
    err = (tmp_path / "err.txt").read_text()
    assert process.exitcode == code, err
    assert "Traceback" not in err
    assert (tmp_path / "out.png").exists() == (code == 0)
    assert err.count("\n") == (code == 2)
    assert ("matplotlibrc" in err) == (code == 2)
