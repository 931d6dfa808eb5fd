"""Make tasks from the objects of other frameworks, so that users pass what they train with.

    lr_find(module, trainer=trainer)             a LightningModule; also with data=train_loader or
    lr_find(module, trainer=..., datamodule=...)     a datamodule, with or without a Trainer
    lr_find(trainer)                             a Hugging Face Trainer
    lr_find(learn)                               a fastai Learner
    lr_find(net, X, y)                           a skorch net; also lr_find(net, data=data_set)
    lr_find(model, optimizer, loss_fn, loader)   prepared by Accelerate

In several processes each rank passes its own objects: those of Lightning (`strategy="ddp"`,
launched by torchrun), Hugging Face and Accelerate sweep together; the others are refused.

`LRFinderWidget` takes the same arguments. Each form also takes the options of a sweep
(`start_lr`, ...) and `also=`, further objects to restore; the object has everything else that a
step needs. An adapter is imported only if its framework is imported already.
"""

from lrwidget.adapters.registry import ACCEPTED, adapt

__all__ = ["ACCEPTED", "adapt"]
