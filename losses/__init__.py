"""Losses: tensors in, one value per sample out. The caller weights and averages, so samples may weigh differently."""
