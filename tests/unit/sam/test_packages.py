"""Packages whose `__init__` runs on use."""

import subprocess
import sys
import textwrap


def python(code, folder):
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_modules_come_without_init_and_names_with_it(tmp_path):
    package = tmp_path / "heavy"
    package.mkdir()
    (package / "__init__.py").write_text("print('init')\nfrom heavy.light import A\nB = 2\n")
    (package / "light.py").write_text("class A: pass\n")
    code = """
        from samseg.sam.packages import run_init_on_use
        run_init_on_use("heavy")
        run_init_on_use("heavy")
        run_init_on_use("not_installed")
        from heavy.light import A
        import heavy
        print("before")
        from heavy import B
        print(B, heavy.A is A, hasattr(heavy, "C"))
    """
    assert python(code, tmp_path) == ["before", "init", "2", "True", "False"]


def test_a_model_is_loaded_without_the_compiler_and_the_packages_stay_whole(tmp_path):
    code = """
        import sys
        from samseg.sam.segmenter import load_segmenter
        load_segmenter("tiny", "cpu")
        print("torch._dynamo" in sys.modules)
        from segment_anything import SamPredictor, sam_model_registry
        from segment_anything.modeling import Sam
        import torchvision
        print(torchvision.__version__ != "", isinstance(sam_model_registry["vit_b"](), Sam))
        print(torchvision.ops.nms.__name__)
    """
    assert python(code, tmp_path) == ["False", "True", "True", "nms"]
