"""`unified init`: a project of the user's own, with the files that it begins with in ``template/``."""
