"""Answer questions from your own documents, in English and Chinese, with the page and the sentence that say so."""
