"""Fine-grained vision-language pre-training for chest X-rays: MeDSLIP, MedFILIP and their evaluation."""

__version__ = "0.1.0"
