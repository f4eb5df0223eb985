"""Training from stored transitions."""

from vinci_offline.keras_setup import import_keras

import_keras()
