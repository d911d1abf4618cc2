"""Language models: what is asked, by whom it is answered, and how the answer is understood."""

from meznet_helpers.llm.asking import Asker
from meznet_helpers.llm.captioner import CaptionLabeler
from meznet_helpers.llm.judge import EndpointJudge, LocalJudge
from meznet_helpers.llm.labeler import LlmLabeler
