// As much of torch's C++ interface as the exported host uses, over any Python object with a method data_ptr.
#pragma once

#include <Python.h>

#include <stdexcept>

namespace at {

class Tensor {
  public:
    explicit Tensor(PyObject *object = nullptr) : object_(object) {}
    const void *const_data_ptr() const { return mutable_data_ptr(); }
    void *mutable_data_ptr() const {
        PyObject *address = PyObject_CallMethod(object_, "data_ptr", nullptr);
        if (address == nullptr) throw std::runtime_error("data_ptr failed");
        void *pointer = PyLong_AsVoidPtr(address);
        Py_DECREF(address);
        return pointer;
    }

  private:
    PyObject *object_;
};

}  // namespace at

inline bool THPVariable_Check(PyObject *object) { return PyObject_HasAttrString(object, "data_ptr"); }

inline const at::Tensor &THPVariable_Unpack(PyObject *object) {
    static thread_local at::Tensor tensor;
    return tensor = at::Tensor(object);
}
