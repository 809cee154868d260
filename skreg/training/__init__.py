"""Training: rows go in, a trained stack of networks comes out.

A grid of 20 alphas with 5 folds is 100 networks of one architecture, trained as one net: rows
are shuffled and cut once for all of them, a layer's product over a batch is one operation, and
each network stops by the rule, and at the epoch, at which it would stop alone. A single fit is
the stack of one.

The net is a skorch net, so that skorch's callbacks and history work, with a training loop
that leaves tensors on the device and reads the losses once an epoch. All that training needs to
go on is its state: best weights, checkpoints, pickles and stacks save and restore the same.

The room has no public names. A fitted estimator has its net as `net_`.
"""
