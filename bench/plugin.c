// A plugin of qemu that counts instructions by function: $COUNTS gets lines "COUNT SYMBOL". bench/instructions.py builds it. What
// it calls is declared here, because distributions' packages of qemu come without its header.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Id;
struct block;
struct instruction;
size_t qemu_plugin_tb_n_insns(const struct block*);
struct instruction* qemu_plugin_tb_get_insn(const struct block*, size_t);
const char* qemu_plugin_insn_symbol(const struct instruction*);
void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, struct block*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct block*, int operation, void* number, uint64_t addend);
void qemu_plugin_register_atexit_cb(Id, void (*)(Id, void*), void*);

int qemu_plugin_version = 1;

enum { kMost = 1 << 16 };
static struct {
  char* symbol;
  uint64_t count;
} functions[kMost];
static int used;

static void translated(Id id, struct block* block) {
  (void)id;
  const char* symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0));
  int i = 0;
  if (!symbol) symbol = "?";
  while (i < used && strcmp(functions[i].symbol, symbol)) ++i;
  if (i == kMost) abort();
  if (i == used) functions[used++].symbol = strdup(symbol);
  qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &functions[i].count, qemu_plugin_tb_n_insns(block));
}

static void ended(Id id, void* data) {
  (void)id, (void)data;
  FILE* file = fopen(getenv("COUNTS"), "w");
  if (!file) abort();
  for (int i = 0; i < used; ++i) fprintf(file, "%" PRIu64 " %s\n", functions[i].count, functions[i].symbol);
  fclose(file);
}

int qemu_plugin_install(Id id, const void* info, int argc, char** argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
