"""The keys of the objects of an output folder. `samseg.object_names` matches them."""


class OutputKeys:
    """Keys, relative to the root of the folder."""

    recipe_key = "recipe.json"
    views_key = "views.sql"
    newer_views_key = "views.2.sql"

    @staticmethod
    def plan_key(n: int) -> str:
        """Key of the n-th plan."""
        return f"plan/{n:06d}.parquet"

    @staticmethod
    def masks_key(shard_id: str) -> str:
        """Key of a shard's masks part."""
        return f"masks/part-{shard_id}.parquet"

    @staticmethod
    def embedding_recipe_key(name: str) -> str:
        """Key of the recipe of a named embedding."""
        return f"embeddings/{name}/recipe.json"

    @staticmethod
    def embeddings_key(name: str, shard_id: str) -> str:
        """Key of a shard's part of a named embedding."""
        return f"embeddings/{name}/part-{shard_id}.parquet"

    @staticmethod
    def images_key(shard_id: str) -> str:
        """Key of a shard's images part; its presence is the commit of the shard."""
        return f"images/part-{shard_id}.parquet"

    @staticmethod
    def failed_key(shard_id: str) -> str:
        """Key of the mark of a shard with failed images that are labelled again once."""
        return f"failed/{shard_id}.json"

    @staticmethod
    def quarantine_key(shard_id: str, n: int = 0) -> str:
        """Key of the record of a shard given up for the (n + 1)-th time."""
        return f"quarantine/{shard_id}.json" if n == 0 else f"quarantine/{shard_id}.{n}.json"

    @staticmethod
    def forgotten_key(image_id: str) -> str:
        """Key of the mark of an image that is never labelled again."""
        return f"forgotten/{image_id}.json"

    @staticmethod
    def codebook_key(version: int, name: str) -> str:
        """Key of one object of a codebook."""
        return f"classes/v{version:06d}/{name}"

    @staticmethod
    def assignments_key(version: int, shard_id: str) -> str:
        """Key of one shard's class assignments under one codebook."""
        return f"classes/v{version:06d}/assignments/part-{shard_id}.parquet"

    @staticmethod
    def members_key(version: int, edit: int, shard_id: str) -> str:
        """Key of a shard's members of a class that an edit created, under one codebook."""
        return f"classes/v{version:06d}/edits/{edit:06d}/part-{shard_id}.parquet"

    @staticmethod
    def split_key(version: int, edit: int) -> str:
        """Key of the cells on the new side of a split, under one codebook."""
        return f"classes/v{version:06d}/edits/{edit:06d}/cells.parquet"

    @staticmethod
    def resolved_key(version: int, edit: int, name: str) -> str:
        """Key of a table of what the edits up to one make of the classes of a codebook."""
        return f"classes/v{version:06d}/resolved/e{edit:06d}/{name}.parquet"

    @staticmethod
    def edit_key(n: int) -> str:
        """Key of the n-th edit."""
        return f"edits/{n:06d}.json"

    @staticmethod
    def correction_key(n: int) -> str:
        """Key of the n-th table of outlines that people drew."""
        return f"corrections/{n:06d}.parquet"

    @staticmethod
    def ledger_key(n: int, version: int | None = None, edit: int | None = None) -> str:
        """Key of the n-th ledger of the folder, or of the classes of a codebook or after edits."""
        return f"{OutputKeys.ledgers(version, edit)}{n:06d}.parquet"

    @staticmethod
    def ledgers(version: int | None = None, edit: int | None = None) -> str:
        """Folder of those ledgers."""
        if version is None:
            return "ledger/"
        return f"classes/v{version:06d}/{'' if edit is None else f'resolved/e{edit:06d}/'}ledger/"

    @staticmethod
    def night_key(stamp: str, name: str) -> str:
        """Key of one object of a night's folder."""
        return f"nights/{stamp}/{name}"

    @staticmethod
    def export_key(format: str, stamp: str, name: str) -> str:
        """Key of one exported object."""
        return f"exports/{format}/{stamp}/{name}"
