"""How the site is built: `make docs`, or ``python -m sphinx -W docs docs/_build/html``."""

import os
import sys
from pathlib import Path

import matplotlib

# Figures are drawn to files. Stack sizes and timings should not depend on who builds.
matplotlib.use("Agg")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
# The gallery's worker processes import skreg from here too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

import skreg  # noqa: E402

project = "skreg"
author = "The skreg developers"
copyright = "The skreg developers"
version = release = skreg.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "auto_examples/*.ipynb"]
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "substitution"]
# `make bench` writes the page; a link to a page that is not there would be an error.
myst_substitutions = {
    "benchmarks": "[](../benchmarks.md)"
    if (ROOT / "docs/benchmarks.md").exists()
    else "`docs/benchmarks.md`"
}
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc has the types, in words
toc_object_entries_show_parents = "hide"
# Methods of torch and scikit-learn are documented there.
numpydoc_show_inherited_class_members = True
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"quickstart|make_readme_figure",
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("skreg",),
    "min_reported_time": 1000,
    "show_memory": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "plot_gallery": os.environ.get("SKREG_DOCS_GALLERY", "1") == "1",
}

html_theme = "pydata_sphinx_theme"
html_title = "skreg"
html_static_path = ["_static"]
html_css_files = ["skreg.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"installation": [], "changes": [], "benchmarks": [], "faq": []}
