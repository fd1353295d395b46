"""The command ``study train``: one training, without Ray, Optuna or MLflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli.options import DataDir, Plugins, use_plugins

if TYPE_CHECKING:
    from trainables.core.config import TrialConfig
    from trainables.entry_points.standalone import Extra

MethodParams = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A hyperparameter of the method; may be repeated."),
]


def train(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A name of `study methods`.")],
    dataset: Annotated[str, typer.Option(help="A name of `study datasets`.")] = "digits",
    kind: Annotated[str, typer.Option(help="long_tail, step, fraction or natural.")] = "long_tail",
    ratio: Annotated[float, typer.Option(help="Imbalance ratio, at least 1.")] = 100.0,
    minority: Annotated[str, typer.Option(help="last, first, odd or even classes.")] = "last",
    protocol: Annotated[str, typer.Option(help="holdout, published, m2m or test-select.")] = "holdout",
    model: Annotated[str, typer.Option(help="A network of `study models`.")] = "resnet32",
    weights: Annotated[
        str | None, typer.Option(help="File of pretrained weights, or timm for those of a network of timm.")
    ] = None,
    model_options: Annotated[
        list[str] | None,
        typer.Option("--model-option", metavar="NAME=VALUE", help="Set an option of a network of timm, repeatable."),
    ] = None,
    preset: Annotated[str, typer.Option(help="A preset of the method.")] = "recommended",
    params: MethodParams = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 200,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = 2e-4,
    optimizer: Annotated[str, typer.Option(help="sgd, adamw, or one of a plug-in.")] = "sgd",
    layer_decay: Annotated[float, typer.Option(help="Factor of the learning rate per layer below the head.")] = 1.0,
    clip_norm: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights, which are evaluated.")] = None,
    schedule: Annotated[str, typer.Option(help="step, cosine or constant.")] = "step",
    augmentation: Annotated[str, typer.Option(help="auto, none, flip, crop, crop-flip or resized-crop-flip.")] = "auto",
    brightness: Annotated[float, typer.Option(help="Largest relative change of brightness, 0 to 1.")] = 0.0,
    auto_augment: Annotated[str | None, typer.Option(help="rand (RandAugment) or trivial (TrivialAugment).")] = None,
    cutout: Annotated[int, typer.Option(help="Side in pixels of a square that is hidden.")] = 0,
    crop_size: Annotated[int | None, typer.Option(help="Crop images to this size in pixels.")] = None,
    test_crop_size: Annotated[int | None, typer.Option(help="Size of the centre crops that are evaluated.")] = None,
    input_scaling: Annotated[
        str, typer.Option(help="standard, symmetric for pixels in [-1, 1], or pretrained for timm's weights.")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or native.")] = "auto",
    label_noise: Annotated[float, typer.Option(help="Share of wrong training labels.")] = 0.0,
    image_size: Annotated[int | None, typer.Option(help="Scale and crop images to this size in pixels.")] = None,
    test_fraction: Annotated[
        float, typer.Option(help="Share of each class drawn as test images, if the data set has no test split.")
    ] = 0.2,
    test_seed: Annotated[int, typer.Option(help="Seed of that draw.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
    test: Annotated[bool, typer.Option(help="Evaluate on the test images at the end.")] = False,
    verify: Annotated[
        str | None,
        typer.Option(metavar="PAIRS.txt|NUMBER", help="Verify pairs of test images by feature distance."),
    ] = None,
    verify_on: Annotated[str | None, typer.Option(help="Another data set to verify pairs of.")] = None,
    verify_age_gap: Annotated[
        int | None, typer.Option(min=1, help="Age gap in years of a NUMBER of pairs of AgeDB.")
    ] = None,
    plot_features: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Plot features: as they are if there are two, else t-SNE and UMAP."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for epochs and checkpoints.")] = None,
    data_dir: DataDir = None,
    plugins: Plugins = None,
) -> None:
    """Train once and print the metrics of every epoch.

    With --output, epoch results and checkpoints are stored, and a later call resumes from them.
    """
    from study.spec.single_trial import single_trial
    from trainables.core.paths import data_folder_named
    from trainables.entry_points.standalone import train_once

    use_plugins(plugins)
    if data_dir is not None:
        os.environ["STUDY_DATA_DIR"] = str(data_folder_named(data_dir, "--data-dir"))
    config = single_trial(
        method,
        preset=preset,
        params=_params(params),
        dataset=dataset,
        image_size=image_size,
        kind=kind,
        ratio=ratio,
        minority=minority,
        protocol=protocol,
        label_noise=label_noise,
        test_fraction=test_fraction,
        test_seed=test_seed,
        model=model,
        weights=weights,
        options=_params(model_options),
        seed=seed,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        optimizer=optimizer,
        layer_decay=layer_decay,
        clip_norm=clip_norm,
        ema=ema,
        augmentation=augmentation,
        brightness=brightness,
        auto_augment=auto_augment,
        cutout=cutout,
        crop_size=crop_size,
        test_crop_size=test_crop_size,
        input_scaling=input_scaling,
        precision=precision,
    )
    extras = _extras(verify, verify_on, verify_age_gap, plot_features, of_test=test)
    train_once(config, output=output, with_test=test, say=typer.echo, extras=extras)
    if output is not None:
        _draw_translations(output, config)


def _draw_translations(output: Path, config: TrialConfig) -> None:
    """Draw what a method that translates images stored at the end; MLflow is not imported."""
    from study.tracking.plots.translation_plot import translations_picture
    from trainables.core.trial_folder import TrialFolder
    from trainables.data import load

    arrays = TrialFolder(output).arrays("translations")
    if arrays is not None:
        drawn = output / "translations.png"
        drawn.write_bytes(translations_picture(arrays, load(config.data).class_names, config.method.name))
        typer.echo(f"translated images: {drawn}")


def _extras(
    verify: str | None, verify_on: str | None, age_gap: int | None, plot: Path | None, *, of_test: bool
) -> list[Extra]:
    from trainables.core.errors import BadInput

    extras: list[Extra] = []
    if verify is not None:
        from trainables.entry_points.verify_pairs import verification

        extras.append(verification(verify, verify_on, age_gap))
    elif age_gap is not None:
        raise BadInput("--verify-age-gap needs --verify NUMBER and --verify-on")
    elif verify_on is not None:
        raise BadInput("--verify-on needs --verify PAIRS.txt or --verify NUMBER, which say which pairs")
    if plot is not None:
        from study.cli.feature_option import plotted_features

        extras.append(plotted_features(plot, of_test=of_test))
    return extras


def _params(given: list[str] | None) -> dict[str, Any]:
    from study.spec.yaml_io import with_overrides

    return with_overrides({}, tuple(given or ()))
