"""MedFILIP as a scorer: images compared with the prompts' own texts by the text transformer that was trained along."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from pipeline.evaluation.scorer import Prompts
from pipeline.networks.medfilip import MedFILIP


class MedFILIPScorer:
    """Equations (10) and (11). Prompts count by their texts; what the frozen text encoder made of them is not used.

    The image encoder takes most of the time, so the features of the last images asked about are kept: asking about the
    same tensor again costs next to nothing. Images must not be changed in place in between. Each text is encoded once.

    Args:
        model: put into evaluation mode here; images go to where it lies.
        tokenizer: of its text transformer.
    """

    def __init__(self, model: MedFILIP, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device
        self.tokenizer = tokenizer
        self._encoded: dict[str, Tensor] = {}  # text -> [d]
        self._seen: tuple[Tensor, Tensor] | None = None  # images [B, S, S], their features [B, C, g, g]

    def score(self, images: Tensor, prompts: Prompts) -> Tensor:
        """(1 + cosine) / 2 of each image and prompt: in 0..1, rising with the cosine, no calibrated probability [B, N].

        The logits' sigmoid would round unlike cosines to the same 1.
        """
        return (1 + self._cosines(images, prompts)) / 2

    def heat_maps(self, images: Tensor, prompts: Prompts) -> Tensor:
        """Grad-CAM (Selvaraju et al. 2017) of each cosine at the encoder's last features: [B, N, g, g]."""
        from monai.visualize.class_activation_maps import GradCAM  # late: it imports for a second

        with (
            torch.inference_mode(False),
            torch.enable_grad(),
        ):  # whatever evaluators have set
            features = self._features(images).clone().requires_grad_()
            gradcam = GradCAM(_Head(self.model, self._texts(prompts).clone()), target_layers="features")
            maps = [
                gradcam.compute_map(features, class_idx=index)  # type: ignore[no-untyped-call]
                for index in range(len(prompts))
            ]
        self.model.zero_grad()
        return torch.cat(maps, dim=1).detach().cpu()

    def embed_images(self, images: Tensor) -> Tensor:
        """u, in the space where images and texts meet, of length 1: [B, d]."""
        return self._images(images).cpu()

    def embed_queries(self, images: Tensor, prompts: Prompts) -> Tensor:
        """u * v entry by entry, whose sum is the cosine of image and prompt: [B, N, d]."""
        return (self._images(images)[:, None] * self._texts(prompts)).cpu()

    def embed_text(self, prompts: Prompts) -> Tensor:
        """v, in the space where images and texts meet, of length 1: [N, d]."""
        return self._texts(prompts).cpu()

    def _cosines(self, images: Tensor, prompts: Prompts) -> Tensor:
        return (self._images(images) @ self._texts(prompts).T).clamp(-1, 1).cpu()

    @torch.no_grad()
    def _images(self, images: Tensor) -> Tensor:
        return self.model.project(self._features(images))

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        """[B, C, g, g] of uint8 images [B, S, S]."""
        if self._seen is None or self._seen[0] is not images:
            grey = images.to(self.device)[:, None].float() / 255  # [B, 1, S, S]
            self._seen = images, self.model.backbone(grey)
        return self._seen[1].detach()

    @torch.no_grad()
    def _texts(self, prompts: Prompts) -> Tensor:
        new = [text for text in dict.fromkeys(prompts.texts) if text not in self._encoded]
        if new:
            longest = self.model.config.text["max_position_embeddings"]
            tokens = self.tokenizer(new, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            vectors = self.model.embed_texts(tokens["input_ids"].to(self.device))
            self._encoded.update(zip(new, vectors, strict=True))
        return torch.stack([self._encoded[text] for text in prompts.texts])  # [N, d]


class _Head(nn.Module):
    """From features [B, C, g, g] to cosines with texts [B, N]: all that Grad-CAM needs to go through again."""

    def __init__(self, model: MedFILIP, texts: Tensor) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.project, self.texts = model.project, texts

    def forward(self, features: Tensor) -> Tensor:
        cosines: Tensor = self.project(self.features(features)) @ self.texts.T
        return cosines
