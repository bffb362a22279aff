"""Fit predicted IoU to the weights that a run ends with.

The IoU head reads one token of the decoder. Training moves that token, and the average of the
weights moves it once more, so the head ends behind the model it belongs to. Here all else stands
still: many prompts are answered once, as at night, and the head alone is fitted to what came of
them, which thousands of steps of a small perceptron do in seconds.
"""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional

from samseg.pretraining.examples import INPUT, Examples, Shape, Source
from samseg.pretraining.losses import ranking_loss, true_iou
from samseg.progress import Progress
from samseg.sam.segmenter import Segmenter
from samseg.sam.threads import Threads

_CLICKS = 24
_PASSES, _BATCH = 30, 256
_LEARNING_RATE, _WEIGHT_DECAY = 3e-4, 0.02
_RANKING = 0.05
"""Weight of the order of answers beside the squared error of each."""


def calibrate(
    model: Sam,
    sources: Sequence[Source],
    shares: Sequence[float],
    pictures: int,
    seed: int,
    progress: Progress,
) -> None:
    """Fit the IoU head of a model, in place; its masks and embeddings stay what they are.

    Args:
        model: the model, with its final weights.
        sources: where pictures come from.
        shares: how often from each.
        pictures: how many to answer prompts on.
        seed: of the pictures, the prompts and the fit.
        progress: where it says how far it is.
    """
    progress.start("calibrate", pictures, "pictures")
    examples = Examples(sources, shares, Shape(INPUT, _CLICKS, uses=1), pictures, seed)
    device = next(model.parameters()).device
    threads = Threads(torch.get_num_threads() if device.type == "cpu" else 1)

    def work(first: int) -> list[tuple[Tensor, Tensor]]:
        segmenter = Segmenter(copy.deepcopy(model), device=device)
        segmenter.threads = Threads(1)
        done = []
        for i in range(first, pictures, threads.n):
            done.append(answers(segmenter, examples[i]))
            if first == 0:
                progress.update(i + 1)
        return done

    parts = threads.map(work, range(threads.n))
    rows = [parts[i % threads.n][i // threads.n] for i in range(pictures)]
    head = model.mask_decoder.iou_prediction_head
    fitted = fit(head, torch.cat([t for t, _ in rows]), torch.cat([r for _, r in rows]), seed)
    head.load_state_dict(fitted.state_dict())
    progress.finish(f"predicted IoU fitted to {sum(len(t) for t, _ in rows)} prompts")


def answers(segmenter: Segmenter, example: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Ask clicks for three masks each, and boxes for one, on one picture.

    Args:
        segmenter: of one thread, which asks batches in order.
        example: with a window of the whole input; see `Examples`.

    Returns:
        (n, d) tokens that the IoU head reads, and (n, 4) IoU that its four answers reached, NaN of
        those that were not asked for. A click's answer counts for the best of what it may mean,
        a box's for the one mask that was meant.
    """
    pixels = np.ascontiguousarray(example["image"].permute(1, 2, 0).numpy())
    points, boxes = example["points"].numpy() / 2, example["boxes"].numpy() / 2
    targets, any_meant = example["targets"].float() / 255, example["meant"]
    intended = functional.one_hot(example["intent"], any_meant.shape[1]).bool()
    tokens: list[Tensor] = []
    head = segmenter.model.mask_decoder.iou_prediction_head
    hook = head.register_forward_hook(
        lambda _, given, __: tokens.append(given[0].detach().reshape(-1, given[0].shape[-1]).cpu())
    )
    reached = []
    for prompt, meant, three in (
        ({"points": points}, any_meant, True),
        ({"boxes": boxes}, intended, False),
    ):
        found = segmenter.prompt(pixels, **prompt, multimask_output=three).masks.to_dense()
        inside = torch.from_numpy(found).float().unflatten(0, (len(points), -1))
        halved = functional.avg_pool2d(inside, 2)  # to the size of the targets
        iou = true_iou(halved - 0.5, targets)
        row = torch.full((len(points), 4), torch.nan)
        row[:, slice(1, 4) if three else slice(0, 1)] = (
            iou.masked_fill(~meant[:, None], 0).max(2).values
        )
        reached.append(row)
    hook.remove()
    return torch.cat(tokens), torch.cat(reached)


def fit(head: nn.Module, tokens: Tensor, reached: Tensor, seed: int) -> nn.Module:
    """Return a head, on the CPU, that was fitted from the given one.

    Args:
        head: (n, d) to (n, 4).
        tokens: (n, d) what it reads.
        reached: (n, 4) what it should say, NaN where nobody knows.
        seed: of the order.
    """
    head = copy.deepcopy(head).cpu().requires_grad_()
    optimizer = torch.optim.AdamW(head.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    steps = _PASSES * math.ceil(len(tokens) / _BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        drawn = torch.randint(len(tokens), (_BATCH,), generator=generator)
        wanted, said = reached[drawn], head(tokens[drawn])
        known = ~wanted.isnan()
        loss = (said - wanted)[known].square().mean()
        of_three = known[:, 1:].all(dim=1)
        if of_three.any():
            loss = loss + _RANKING * ranking_loss(said[of_three, 1:], wanted[of_three, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head.eval()
