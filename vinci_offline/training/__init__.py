"""Training from stored transitions."""

from vinci_offline.quiet import import_keras

import_keras()
