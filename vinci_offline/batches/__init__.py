"""From a dataset to the batches that losses see: rows in memory, or streamed."""

from vinci_offline.keras_setup import import_keras

import_keras()
