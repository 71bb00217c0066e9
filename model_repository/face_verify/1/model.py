"""Triton's entry to face_verify; the code is in ensemble/."""

import os
from functools import partial

from facegate_ensemble.policy import Policy
from facegate_ensemble.triton.endpoint import Endpoint
from facegate_ensemble.triton.handlers import verify


class TritonPythonModel:
    def initialize(self, args):
        self.endpoint = Endpoint(args, partial(verify, policy=Policy.from_environment(os.environ)))

    def execute(self, requests):
        self.endpoint.submit(requests)

    def finalize(self):
        self.endpoint.close()
