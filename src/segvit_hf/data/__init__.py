"""Data sets for semantic segmentation: class names, folders of label maps, checks and training augmentations."""

from segvit_hf.data.augmentations import TrainingAugmentation, pad_to_size
from segvit_hf.data.folders import LAYOUTS, FolderLayout, SegmentationFolders
from segvit_hf.data.label_checks import LabelReport, check_labels
from segvit_hf.data.label_maps import check_label_range, read_label_map
from segvit_hf.data.label_sets import LabelSet, get_label_set, label_set_names, read_class_list
from segvit_hf.data.submissions import SUBMISSION_FORMATS, SubmissionFormat, SubmissionWriter

__all__ = [
    "LAYOUTS",
    "SUBMISSION_FORMATS",
    "FolderLayout",
    "LabelReport",
    "LabelSet",
    "SegmentationFolders",
    "SubmissionFormat",
    "SubmissionWriter",
    "TrainingAugmentation",
    "check_label_range",
    "check_labels",
    "get_label_set",
    "label_set_names",
    "pad_to_size",
    "read_class_list",
    "read_label_map",
]
