"""Training from stored transitions."""

from vinci_offline.backend import import_keras

import_keras()
