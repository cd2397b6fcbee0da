"""The documentation's settings: `sphinx-build -W -n docs docs/_build`."""

import inspect
import os
import re
import sys
from pathlib import Path

import fastnn
import kernels

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

project, author = "fastnn", "the fastnn developers"
release = version = fastnn.__version__
html_title = "fastnn"

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
exclude_patterns, templates_path = ["_build", "_templates", "jupyter_execute"], ["_templates"]

# Pages with code are run when they are built; an error ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
os.environ["PYTHONWARNINGS"] = "ignore"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
# Other projects are not asked where their names are told, so that no build needs the network.
nitpick_ignore_regex = [("py:class", r"(numpy|collections)\..*")]
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False

html_theme = "pydata_sphinx_theme"
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ |In \[\d*\]: | {2,5}\.\.\.: "
copybutton_prompt_is_regexp = True

MODULES = {
    "fastnn": fastnn,
    **{
        f"fastnn.{name}": getattr(fastnn, name)
        for name in ("callbacks", "datasets", "estimators", "initializers", "plots", "schedules",
                     "tables")
    },
    "kernels": kernels,
}  # fmt: skip


def _page(name: str, module) -> str:
    """Return the page of a module, with a table of its public names."""
    above = () if module is fastnn else fastnn.__all__  # told there
    public = {each: getattr(module, each) for each in module.__all__ if each not in above}
    names = sorted(
        each for each, value in public.items() if callable(value) and not inspect.ismodule(value)
    )
    listed = "\n".join(f"   {name}.{each}" for each in names)
    return f"# {name}\n\n```{{eval-rst}}\n.. autosummary::\n   :toctree: made\n\n{listed}\n```\n"


def _write_reference(app) -> None:
    """Write the pages of the reference, before Sphinx looks for pages."""
    folder = HERE / "reference"
    for name, module in MODULES.items():
        page, file = _page(name, module), folder / f"{name}.md"
        if not file.exists() or file.read_text() != page:
            file.write_text(page)


def _escape(app, what, name, obj, options, lines: list[str]) -> None:
    """Let signs of formulas, |x| and a * b, be themselves."""
    for place, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split("(`+[^`]*`+)", line)  # code, and what is between
            parts[::2] = [part.replace("|", r"\|").replace("*", r"\*") for part in parts[::2]]
            lines[place] = "".join(parts)


def setup(app) -> None:
    """Let the reference be written from the public names."""
    _write_reference(app)
    app.connect("autodoc-process-docstring", _escape, priority=400)  # before numpydoc
