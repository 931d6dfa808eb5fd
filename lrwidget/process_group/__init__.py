"""Several processes of a torch.distributed group that sweep one model together."""
