#include <torch/extension.h>

#include <cstdint>
#include <vector>

namespace {

struct Config {  // CUlaunchConfig
    unsigned grid[3], block[3], shared;
    void *queue;
    void *attributes;
    unsigned count;
};

using Launch = int (*)(const Config *, void *, void **, void **);

struct State {
    Launch call;
    void *function;
    Config *config;
    uint64_t *block;
    std::vector<uint32_t> words;   // A, B, SFA, SFB, C of each group
    std::vector<uint32_t> copies;  // pairs: to, from
};

constexpr const char *kState = "nvfp4gen.state";

// Item `index` of a list or tuple of at least `least`; borrowed.
PyObject *item(PyObject *sequence, Py_ssize_t index, Py_ssize_t least, const char *what) {
    const bool list = PyList_Check(sequence);
    if (!list && !PyTuple_Check(sequence)) {
        PyErr_Format(PyExc_TypeError, "%s must be a list or a tuple", what);
        return nullptr;
    }
    if ((list ? PyList_GET_SIZE(sequence) : PyTuple_GET_SIZE(sequence)) < least) {
        PyErr_Format(PyExc_ValueError, "%s: %zd are needed", what, least);
        return nullptr;
    }
    return list ? PyList_GET_ITEM(sequence, index) : PyTuple_GET_ITEM(sequence, index);
}

bool store(State &state, size_t group, size_t operand, PyObject *tensor) {
    if (tensor == nullptr) return false;
    if (!THPVariable_Check(tensor)) {
        const char *const names[] = {"A", "B", "SFA", "SFB", "C"};
        PyErr_Format(PyExc_TypeError, "group %zu, %s: not a torch tensor", group, names[operand]);
        return false;
    }
    const at::Tensor &unpacked = THPVariable_Unpack(tensor);
    const void *address = operand == 4 ? unpacked.mutable_data_ptr() : unpacked.const_data_ptr();
    state.block[state.words[5 * group + operand]] = reinterpret_cast<uint64_t>(address);
    return true;
}

bool collect(State &state, PyObject *abc, PyObject *scales) {
    const Py_ssize_t groups = state.words.size() / 5;
    for (Py_ssize_t group = 0; group < groups; group++) {
        PyObject *tensors = item(abc, group, groups, "groups of A, B, C");
        PyObject *factors = tensors ? item(scales, group, groups, "groups of scales") : nullptr;
        if (factors == nullptr) return false;
        PyObject *a = item(tensors, 0, 3, "A, B, C of a group");
        if (a == nullptr || !store(state, group, 0, a)) return false;
        if (!store(state, group, 1, item(tensors, 1, 3, "A, B, C of a group"))) return false;
        if (!store(state, group, 2, item(factors, 0, 2, "scales of a group"))) return false;
        if (!store(state, group, 3, item(factors, 1, 2, "scales of a group"))) return false;
        if (!store(state, group, 4, item(tensors, 2, 3, "A, B, C of a group"))) return false;
    }
    for (size_t i = 0; i < state.copies.size(); i += 2) state.block[state.copies[i]] = state.block[state.copies[i + 1]];
    return true;
}

// launch(state, abc, scales, queue) -> the driver's result code
PyObject *launch(PyObject *, PyObject *const *arguments, Py_ssize_t count) try {
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "launch takes four arguments");
        return nullptr;
    }
    auto *state = static_cast<State *>(PyCapsule_GetPointer(arguments[0], kState));
    if (state == nullptr || !collect(*state, arguments[1], arguments[2])) return nullptr;
    state->config->queue = PyLong_AsVoidPtr(arguments[3]);
    if (state->config->queue == nullptr && PyErr_Occurred()) return nullptr;
    void *parameters[] = {state->block};
    return PyLong_FromLong(state->call(state->config, state->function, parameters, nullptr));
} catch (const std::exception &error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
}

void release(PyObject *capsule) { delete static_cast<State *>(PyCapsule_GetPointer(capsule, kState)); }

std::vector<uint32_t> numbers(PyObject *tuple) {
    std::vector<uint32_t> all;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) all.push_back(PyLong_AsUnsignedLong(PyTuple_GET_ITEM(tuple, i)));
    return all;
}

// prepare(call, function, config, block, words, copies) -> state; the first four are addresses that the caller keeps alive
PyObject *prepare(PyObject *, PyObject *arguments) {
    unsigned long long call, function, config, block;
    PyObject *words, *copies;
    if (!PyArg_ParseTuple(arguments, "KKKKO!O!", &call, &function, &config, &block, &PyTuple_Type, &words, &PyTuple_Type,
                          &copies))
        return nullptr;
    auto *state = new State{reinterpret_cast<Launch>(call), reinterpret_cast<void *>(function),
                            reinterpret_cast<Config *>(config), reinterpret_cast<uint64_t *>(block),
                            numbers(words), numbers(copies)};
    return PyCapsule_New(state, kState, release);
}

PyMethodDef methods[] = {
    {"launch", reinterpret_cast<PyCFunction>(reinterpret_cast<void *>(launch)), METH_FASTCALL, nullptr},
    {"prepare", prepare, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module_ = {PyModuleDef_HEAD_INIT, "nvfp4gen_host", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

#define NVFP4GEN_JOIN(a, b) a##b
#define NVFP4GEN_INIT(name) NVFP4GEN_JOIN(PyInit_, name)

PyMODINIT_FUNC NVFP4GEN_INIT(TORCH_EXTENSION_NAME)(void) { return PyModule_Create(&module_); }
