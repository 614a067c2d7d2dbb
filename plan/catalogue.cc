// Which engine runs what, and how much it is taken to be used.
#include "plan/catalogue.h"

#include <utility>

namespace gantry {

Result<Wish> catalogue_wish(std::string_view name) {
  Result<CatalogueModel> model = catalogue_model(name);
  if (!model) return fail(model.error());
  Wish wish;
  wish.name = model->name;
  wish.purpose = model->about;
  if (model->declared) {
    const DeclaredModel& declared = *model->declared;
    wish.engine = EngineKind::kCommand;
    wish.declared = declared.host_only;
    wish.accelerated = Accelerated{declared.device, declared.host, declared.operations,
                                   declared.sequential_bytes};
    return wish;
  }
  const bool speech = model->card.format == ModelFormat::kWhisper;
  wish.engine = speech ? EngineKind::kWhisper : EngineKind::kLlama;
  wish.flash_attention = !speech;
  wish.embeddings = !speech && model->card.kv.empty();
  wish.card = std::move(model->card);
  wish.mmproj = std::move(model->mmproj);
  return wish;
}

}  // namespace gantry
