"""Other frameworks' objects as tasks: what a person already trains with goes straight in.

    lr_find(module, trainer=trainer)             a LightningModule; also with data=train_loader or
    lr_find(module, trainer=..., datamodule=...)     a datamodule, with or without a Trainer
    lr_find(trainer)                             a Hugging Face Trainer
    lr_find(learn)                               a fastai Learner
    lr_find(net, X, y)                           a skorch net; also lr_find(net, data=data_set)
    lr_find(model, optimizer, loss_fn, loader)   prepared by Accelerate

Under several processes each rank gives its own: those of Lightning (`strategy="ddp"`, launched by
torchrun), Hugging Face and Accelerate sweep together; the others are refused.

`LRFinderWidget` takes the same. Each form also takes the options of a sweep (`start_lr`, ...) and
`also=`, further objects to put back; everything else that a step needs comes from the object. An
adapter is loaded only where its framework is imported already.
"""

from lrwidget.adapters.registry import ACCEPTED, adapt

__all__ = ["ACCEPTED", "adapt"]
