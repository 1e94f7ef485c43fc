"""CIDEr-D of whole batches at once, as tensors: the reward that self-critical training asks for at every step.

`caption_evaluation.cider_d` says the same with dictionaries, readably and a hundred times slower. Here each run of n
words is one integer, so that "the same run" is one comparison of a candidate's with a reference's, all pairs at once.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multimodal_llm.image_captioning.caption_evaluation import N_GRAMS, SIGMA
from multimodal_llm.image_captioning.vocabulary import PADDING


class CiderReward:
    """CIDEr-D, in the paper's units (0 to 10), of candidates against the references of their photos.

    The end of a sentence counts as one more word, on both sides. Without it the reward would favour sentences that
    stop in mid-air: "a dog runs through the" loses little, "a dog runs through the END" is like no reference.
    """

    def __init__(self, references: np.ndarray, device: str | torch.device = "cpu") -> None:
        """`references` (photos, captions, words) by number, ended, padded with PADDING. Words that the model cannot say
        have numbers of their own."""
        self.base = int(references.max()) + 1
        self.n_photos = len(references)
        texts = torch.from_numpy(references)  # (P, R, L)
        codes = self._codes(texts)
        self._known, self._log_df = [], []
        for n in range(N_GRAMS):
            photos = torch.arange(self.n_photos)[:, None, None].expand_as(codes[n])
            there = codes[n] >= 0
            pairs = torch.stack([codes[n][there], photos[there]]).unique(dim=1)  # a run counts once a photo
            known, counts = pairs[0].unique(return_counts=True)
            # A first entry that is like no run, so that the table is never empty.
            self._known.append(F.pad(known, (1, 0), value=-2).to(device))
            self._log_df.append(F.pad(counts.double().log().float(), (1, 0)).to(device))
        self._log_photos = float(np.log(self.n_photos))
        self.codes = [code.to(device) for code in codes]
        self.weights, self.norms = zip(*(self._weigh(code, n) for n, code in enumerate(self.codes)), strict=True)
        self.lengths = (texts != PADDING).sum(-1).to(device)  # (P, R)

    def __call__(self, photos: Tensor, candidates: Tensor) -> Tensor:
        """The scores (B,) of candidates (B, L), words by number, ended and padded, about these photos (B,)."""
        lengths = (candidates != PADDING).sum(-1)
        difference = (lengths[:, None] - self.lengths[photos]).float()  # (B, R)
        closeness = torch.exp(-(difference**2) / (2 * SIGMA**2))
        total = torch.zeros_like(closeness)
        for n, codes in enumerate(self._codes(candidates)):
            weights, norms = self._weigh(codes, n)  # (B, L), (B,)
            theirs = self.weights[n][photos]  # (B, R, S)
            same = codes[:, None, :, None] == self.codes[n][photos][:, :, None, :]  # (B, R, L, S); -1 has no weight
            found = (same * theirs[:, :, None, :]).sum(-1)  # (B, R, L): the reference's weight of each run of ours
            product = (torch.minimum(weights[:, None], found) * found).sum(-1)  # (B, R)
            total += product / (norms[:, None] * self.norms[n][photos]).clamp(min=1e-9)
        return 10 * (closeness * total).mean(1) / N_GRAMS

    def _codes(self, texts: Tensor) -> list[Tensor]:
        """For n = 1 to 4, each run of n words as an integer, in the places where it starts; elsewhere -1."""
        codes, code = [], torch.zeros_like(texts)
        for n in range(N_GRAMS):
            shifted = torch.zeros_like(texts)  # PADDING is 0
            if n < texts.shape[-1]:
                shifted[..., : texts.shape[-1] - n] = texts[..., n:]
            code = code * self.base + shifted
            codes.append(code.masked_fill(shifted == PADDING, -1))
        return codes

    def _weigh(self, codes: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Count times rarity of each run where it stands first (else 0), and the norm of all of them."""
        same = codes[..., :, None] == codes[..., None, :]  # (..., L, L)
        first = ~same.tril(-1).any(-1) & (codes >= 0)
        known = self._known[n]
        place = torch.searchsorted(known, codes.clamp(min=0)).clamp(max=len(known) - 1)
        log_df = torch.where(known[place] == codes, self._log_df[n][place], 0.0)
        weights = same.sum(-1) * (self._log_photos - log_df) * first
        return weights, weights.norm(dim=-1)
