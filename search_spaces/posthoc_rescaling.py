"""Search spaces of post-hoc changes: their value is picked on validation, not searched."""

from search_spaces.dimension import Spaces

SPACES: Spaces = {"tau-norm": {}, "rs-rescaling": {}, "wvn-rs": {}, "posthoc-logit-adjustment": {}}
