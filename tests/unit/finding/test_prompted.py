"""An object of any photo, embedded as the masks of a folder are."""

import json

import numpy as np
import pytest
from PIL import Image

import samseg
from samseg import config as configs
from samseg.edits.log import read_log
from samseg.errors import ConfigError, RecipeError
from samseg.features import EfficientNetLite0Embedding, Embedder
from samseg.finding import prompted as prompting
from samseg.finding.settings import settings_of
from samseg.picture.prompt import Prompt
from samseg.sam.segmenter import Segmenter
from samseg.sealed_json import sealed

BOX = (30.0, 20.0, 70.0, 62.0)


@pytest.fixture(scope="module")
def segmenter():
    return samseg.load_segmenter("tiny", device="cpu")


@pytest.fixture
def ready(scenes, segmenter, monkeypatch, tmp_path):
    """A folder without classes whose recipe is that of the default model, and a photo."""
    monkeypatch.setattr(Segmenter, "load", classmethod(lambda *_: segmenter))
    made = scenes(codebook=False)
    tree = {"output": made.output.uri, "reader": {"kind": "folder", "uri": str(tmp_path)}}
    config = configs.parse(tree | {"embeddings": []})
    recipe = configs.recipe_of(config, segmenter.weights_sha256, segmenter.settings)
    made.output.storage.replace(made.output.recipe_key, sealed(recipe))
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(next(iter(made.photos.values())))
    return made, photo


def test_the_vector_is_pooled_as_in_the_folder(ready, segmenter):
    made, photo = ready
    pixels = np.array(Image.open(photo))
    masks, features = segmenter.prompt(pixels, boxes=BOX)
    prompt = Prompt.parse(",".join(map(str, BOX)), (), (), None)
    found = prompting.prompted(made.output, settings_of(made.output), str(photo), prompt, "sam")
    wanted = samseg.pool(features, masks)
    assert np.allclose(found.example.vector, wanted[0], rtol=1e-5, atol=1e-6)
    assert found.example.mask_id is None and found.name == "photo.jpg"
    spec = EfficientNetLite0Embedding()
    recipe = {"schema": 1} | spec.recipe()
    made.output.guard(recipe, made.output.embedding_recipe_key(spec.name))
    settings = settings_of(made.output)
    found = prompting.prompted(made.output, settings, str(photo), prompt, spec.name)
    wanted = Embedder.load(spec, "cpu").embed(pixels, masks).vectors[0]
    assert np.allclose(found.example.vector, wanted, rtol=1e-5, atol=1e-6)
    made.output.storage.replace(
        made.output.embedding_recipe_key(spec.name), sealed(recipe | {"weights_sha256": "0" * 64})
    )
    with pytest.raises(RecipeError, match="weights_sha256"):
        prompting.prompted(made.output, settings, str(photo), prompt, spec.name)


def test_a_photo_is_searched_for_in_the_lake(ready):
    made, photo = ready
    found = samseg.find(made.output, str(photo), points=[(50, 40), (5, 5)], labels=[1, 0], k=4)
    assert len(found) == 4 and found.prompted.name == "photo.jpg"
    assert len(samseg.find(made.output, str(photo), points=[(50, 40)], k=4)) == 4
    assert read_log(made.output) == []


def test_a_prompt_without_an_object_is_refused(ready, segmenter, monkeypatch):
    made, photo = ready
    prompt = Segmenter.prompt

    def nothing(self, *args, **options):
        masks, features = prompt(self, *args, **options)
        masks.areas[:] = 0
        return masks, features

    monkeypatch.setattr(Segmenter, "prompt", nothing)
    with pytest.raises(ConfigError, match="the model finds no object at the prompt"):
        samseg.find(made.output, str(photo), box=BOX)


def test_the_model_is_that_of_the_last_night_with_a_record(ready):
    made, _ = ready
    put, key = made.output.storage.put_new, made.output.night_key
    put(key("20260101T000000Z-aaaa", "config.yaml"), b"model: {checkpoint: vit_h}\n")
    put(key("20260102T000000Z-aaaa", "config.yaml"), b"model: {checkpoint: vit_b, device: cuda}\n")
    put(key("20260103T000000Z-aaaa", "status.json"), json.dumps({}).encode())
    model = settings_of(made.output).model
    assert (model.checkpoint, model.device) == ("vit_b", "auto")
