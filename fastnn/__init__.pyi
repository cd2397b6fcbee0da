"""The public names for type checkers, from the same modules as in `__init__.py`."""

from fastnn.compiler.runner import *
from fastnn.files.models import *
from fastnn.interop import *
from fastnn.nn.activations import *
from fastnn.nn.dropout import *
from fastnn.nn.layer import *
from fastnn.nn.linear import *
from fastnn.nn.losses import *
from fastnn.nn.normalize import *
from fastnn.nn.norms import *
from fastnn.nn.parameters import *
from fastnn.nn.seeds import *
from fastnn.nn.sequential import *
from fastnn.nn.shapes import *
from fastnn.nn.softmax import *
from fastnn.optim.optimizers import *
from fastnn.training.callbacks.callback import *
from fastnn.training.evaluation import *
from fastnn.training.fit import *
from fastnn.training.history import *
from fastnn.training.prediction import *
from fastnn.training.predictor import *
from fastnn.training.steps import *
from fastnn.training.training import *

from fastnn import callbacks as callbacks  # isort: skip
from fastnn import datasets as datasets  # isort: skip
from fastnn import estimators as estimators  # isort: skip
from fastnn import initializers as initializers  # isort: skip
from fastnn import plots as plots  # isort: skip
from fastnn import schedules as schedules  # isort: skip
from fastnn import tables as tables  # isort: skip

__version__: str
